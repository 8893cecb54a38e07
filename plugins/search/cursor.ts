/**
 * Where a search goes on. A cursor names for each log the entry that is next, so that whatever the logs grow by meanwhile moves nothing:
 * newest first, later entries are not on later pages; oldest first, they come at the end.
 */
import { hash } from "node:crypto";
import * as v from "valibot";
import {
  decodeBase64Url,
  decodeUtf8,
  encodeBase64Url,
  encodeUtf8,
} from "../../core/formats/encoding.ts";
import { parseJson } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Bounds } from "./evaluate.ts";

const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const shape = v.strictObject({
  /** What was searched for, hashed: a cursor of another search is refused. */
  of: v.string(),
  at: v.record(v.string(), index),
});

/** A cursor for the search that `of` describes. */
export function formatCursor(of: string, at: Bounds): string {
  return encodeBase64Url(encodeUtf8(JSON.stringify({ of: tagOf(of), at })));
}

/** @throws {Malformed} if it is not a cursor of this search. */
export function parseCursor(cursor: string, of: string): Bounds {
  const read = v.safeParse(shape, parseJson(decodeUtf8(decodeBase64Url(cursor))));
  if (!read.success) throw new Malformed("not a cursor");
  if (read.output.of !== tagOf(of)) throw new Malformed("the cursor is of another search");
  return read.output.at;
}

function tagOf(text: string): string {
  return hash("sha256", text, "hex").slice(0, 16);
}
