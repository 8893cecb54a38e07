/**
 * The rows of the audit room's partition.
 *
 *     stream records   sequence → a record's JSON
 *     table  index     tag, SHA-256 of what is looked for, sequence as 8 bytes → nothing
 *     table  state     "head" → how far the trail goes, JSON
 *
 * The index says nothing that the records do not say: it is made anew from them if it is lost.
 */
import { hash } from "node:crypto";
import * as v from "valibot";
import { decodeUtf8, encodeUtf8, putUint, uintFrom } from "../../core/formats/encoding.ts";
import { parseJson } from "../../core/formats/json.ts";
import type { Body } from "./record.ts";

/** The stream of records. */
export const recordStream = "records";
/** The tables of the partition. */
export const tables = { index: "index", state: "state" } as const;
/** Key of the row of `state`. */
export const headKey = encodeUtf8("head");

/** How far the trail goes. */
export interface Head {
  readonly sequence: number;
  /** Of the last record. */
  readonly hash: string;
  /** The last fact handled of each stream. */
  readonly handled: { readonly [stream: string]: number };
}

const headRow = v.object({
  version: v.literal(1),
  sequence: v.number(),
  hash: v.string(),
  handled: v.record(v.string(), v.number()),
});

/** See {@link parseHead}. */
export function formatHead({ sequence, hash: last, handled }: Head): Uint8Array {
  return encodeUtf8(JSON.stringify({ version: 1, sequence, hash: last, handled }));
}

/** What {@link formatHead} made. */
export function parseHead(row: Uint8Array): Head {
  return v.parse(headRow, parseJson(decodeUtf8(row)));
}

/** By what records are found. */
export type Tag = "serial" | "fingerprint" | "digest" | "name" | "place";

const tagBytes = { serial: 1, fingerprint: 2, digest: 3, name: 4, place: 5 } as const;

const digestBytes = 32;
const sequenceBytes = 8;

/** What the keys of all records that have `value` under `tag` begin with. */
export function indexPrefix(tag: Tag, value: string): Uint8Array {
  return keyOf(tag, value, 0);
}

/** The key of one record's row. */
export function indexKey(tag: Tag, value: string, sequence: number): Uint8Array {
  const key = keyOf(tag, value, sequenceBytes);
  putUint(key, 1 + digestBytes, sequence, sequenceBytes);
  return key;
}

/** In one piece, because every record has several. */
function keyOf(tag: Tag, value: string, room: number): Uint8Array {
  const key = new Uint8Array(1 + digestBytes + room);
  key[0] = tagBytes[tag];
  const digest = hash("sha256", value, "latin1");
  for (let at = 0; at < digestBytes; at++) key[1 + at] = digest.charCodeAt(at);
  return key;
}

/** The sequence that a key ends with. */
export function sequenceIn(key: Uint8Array): number {
  return Number(uintFrom(key.subarray(-sequenceBytes)));
}

/** Everything a record is to be found by, each once. */
export function indexedBy(body: Body): readonly (readonly [Tag, string])[] {
  const found: (readonly [Tag, string])[] = [];
  const by = (tag: Tag, value: string | undefined): void => {
    if (value === undefined) return;
    if (!found.some((one) => one[0] === tag && one[1] === value)) found.push([tag, value]);
  };
  switch (body.kind) {
    case "issued":
      by("serial", body.serial);
      by("fingerprint", body.fingerprint);
      by("name", body.san);
      by("name", body.subject);
      break;
    case "refused":
      by("serial", body.serial);
      by("name", body.san);
      by("name", body.subject);
      break;
    case "signed-in":
      by("name", body.san);
      by("name", body.subject);
      break;
    case "sign-ins-refused":
      for (const { account } of body.refusals) by("name", account);
      break;
    case "counted":
      break;
    case "certificate-entry":
      by("serial", body.serial);
      by("place", `${body.log}/${body.index}`);
      break;
    case "signature-entry":
      by("place", `${body.log}/${body.index}`);
      for (const { value } of body.digests) by("digest", value);
      for (const { fingerprint, serial, san } of body.signers) {
        by("fingerprint", fingerprint);
        by("serial", serial);
        by("name", san);
      }
      break;
  }
  return found;
}
