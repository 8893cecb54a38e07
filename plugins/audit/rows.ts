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
import { decodeUtf8, encodeUtf8, uintBytes, uintFrom } from "../../core/formats/encoding.ts";
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
  key.set(uintBytes(sequence, sequenceBytes), 1 + digestBytes);
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

/** Everything a record is to be found by. */
export function indexedBy(body: Body): readonly (readonly [Tag, string])[] {
  switch (body.kind) {
    case "issued":
      return [
        ["serial", body.serial],
        ["fingerprint", body.fingerprint],
        ...names(body.san, body.subject),
      ];
    case "refused":
      return [
        ...(body.serial === undefined ? [] : [["serial", body.serial] as const]),
        ...names(body.san, body.subject),
      ];
    case "signed-in":
      return names(body.san, body.subject);
    case "sign-ins-refused":
      return names(...body.refusals.map(({ account }) => account));
    case "counted":
      return [];
    case "certificate-entry":
      return [
        ["serial", body.serial],
        ["place", `${body.log}/${body.index}`],
      ];
    case "signature-entry":
      return [
        ["place", `${body.log}/${body.index}`],
        ...unique(body.digests.map(({ value }) => value)).map((one) => ["digest", one] as const),
        ...body.signers.flatMap(({ fingerprint, serial, san }) => [
          ...(fingerprint === undefined ? [] : [["fingerprint", fingerprint] as const]),
          ...(serial === undefined ? [] : [["serial", serial] as const]),
          ...names(san),
        ]),
      ];
  }
}

function names(...all: readonly (string | undefined)[]): readonly (readonly [Tag, string])[] {
  return unique(all.flatMap((name) => name ?? [])).map((name) => ["name", name] as const);
}

function unique(values: readonly string[]): readonly string[] {
  return [...new Set(values)];
}
