/** How large an entry may be. */
import { maxEntryLength } from "../../core/formats/tile.ts";
import { Failure } from "../../events/failure.ts";
import type { Candidate } from "../../events/log.ts";
import type { LogFormat } from "./format.ts";

/** Largest chain stored beside a CT entry. */
const maxExtraDataLength = 256 * 1024;

/** @throws {Failure} malformed if the entry fits into no bundle, or its chain is too long. */
export function requireFits(format: LogFormat, candidate: Candidate): void {
  const { entry, extraData } = format.form(candidate, 0n);
  // tlog-tiles: an entry bundle cannot hold more.
  if (entry.length > maxEntryLength) {
    throw new Failure("malformed", `an entry has at most ${maxEntryLength} bytes`);
  }
  if (extraData.length > maxExtraDataLength) {
    throw new Failure("malformed", `a chain has at most ${maxExtraDataLength} bytes`);
  }
}
