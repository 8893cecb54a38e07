/** What two equal entries have in common. */
import { parseMerkleTreeLeaf } from "../../core/formats/sct.ts";
import type { LogFormat, Placed } from "./format.ts";

/** What the candidate's identity was. @throws {Malformed} */
export function identityOfStored(
  format: LogFormat,
  { entry, extraData }: Placed,
  leaf: Uint8Array,
): Uint8Array {
  if (format.identityIsLeafHash) return leaf;
  const { timestampMs: _time, extensions: _none, ...candidate } = parseMerkleTreeLeaf(entry);
  return format.identityOf({ ...candidate, extraData });
}
