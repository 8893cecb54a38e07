/**
 * By what entries are found. Values that many entries share are kept as text, once, and can be looked for with wildcards and counted;
 * values that nearly every entry has another of (digests, keys, commits, runs) are kept as short prefixes of a hash.
 */
import { hash } from "node:crypto";
import { fulcioArcs } from "../../core/formats/fulcio-oids.ts";

/** Fields kept as text, with the numbers they have in the index. */
export const textFields = {
  kind: 1,
  email: 2,
  uri: 3,
  otherName: 4,
  /** A name of any kind in lower case, where that is another text. */
  folded: 5,
  dns: 6,
  ip: 7,
} as const;

/** The number of a Fulcio extension that is kept as text. */
export const extensionField = (arc: number): number => 100 + arc;

/** Fulcio extensions that change with every commit or run. */
export const hashedArcs: ReadonlySet<number> = new Set([
  fulcioArcs.githubWorkflowSha,
  fulcioArcs.buildSignerDigest,
  fulcioArcs.sourceRepositoryDigest,
  fulcioArcs.buildConfigDigest,
  fulcioArcs.runInvocationUri,
]);

/** A text as it is kept: of a longer one, what it begins with. */
export function clip(text: string): string {
  return text.length <= maxTextLength ? text : text.slice(0, maxTextLength).toWellFormed();
}

const maxTextLength = 512;

/** A value under a field. */
export interface Term {
  readonly field: number;
  readonly value: string;
}

/** Below are the numbers of profiles, from here on those of hashed values: both are keys of one order. */
export const firstHashedKey = 2 ** 47;

/** With ten million entries one search in tens of thousands meets another value of these bits; a byte more would cost each entry three. */
const keyBytes = 5;

/** The key of a value that is kept as a hash: its first 40 bits. Equal keys are no proof: whoever finds by one reads the entry. */
export function hashedKey(name: string, value: string): number {
  const digest = hash("sha256", `${name}\0${value}`, "buffer");
  return firstHashedKey + digest.readUIntBE(0, keyBytes);
}
