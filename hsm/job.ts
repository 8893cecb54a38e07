/** What is to be signed under one intent, and the rows of the ledger that are about it. */
import { hash } from "node:crypto";
import { digestOf } from "../core/formats/digest.ts";
import { concat, encodeHex } from "../core/formats/encoding.ts";
import type { Purpose } from "../events/hsm.ts";
import type { SignedPrecertificate } from "./certificate.ts";
import type { VaultKey } from "./keyring.ts";
import type { IntentRow, Outcome } from "./ledger-rows.ts";
import type { Prepared } from "./prepared.ts";
import { schemes } from "./public-key.ts";

/** An intent that is recorded and may now be signed. */
export interface Job {
  readonly key: VaultKey;
  readonly purpose: Purpose | "selfTest" | "ownRoot";
  readonly asker: string;
  readonly trace: string;
  readonly prepared: Prepared;
  /** From {@link digestsOf}. */
  readonly digests: Digests;
  /** Of the row of the attempt under way. */
  sequence: number;
  /** True while that row was written before it was known what is signed: then its outcome says it. */
  isNamedByCore: boolean;
  /** Precertificates only: the row that announces the certificate. */
  announced: number | null;
}

/** The digests of a job's messages, each made once. */
export interface Digests {
  /** What the ledger names the messages by. */
  readonly recorded: readonly Uint8Array[];
  /** What is signed: by the hash of the key's scheme, or the messages themselves where that has none. */
  readonly signed: readonly Uint8Array[];
}

/** A job, before it has a row. */
export function newJob(job: Pick<Job, "key" | "purpose" | "asker" | "trace" | "prepared">): Job {
  const digests = digestsOf(job.prepared.messages, job.key);
  return { ...job, digests, sequence: 0, isNamedByCore: false, announced: null };
}

/** The digests of messages that a key is to sign. */
function digestsOf(messages: readonly Uint8Array[], { algorithm }: VaultKey): Digests {
  const { hash: name } = schemes[algorithm];
  const recorded = messages.map((message) => digestOf("sha256", message));
  if (name === "sha256") return { recorded, signed: recorded };
  if (name === null) return { recorded, signed: messages };
  return { recorded, signed: messages.map((message) => digestOf(name, message)) };
}

/** The row that announces a job, or the rest of it when it is tried again. */
export function intentOf(
  { key, purpose, asker, trace, prepared, digests }: Job,
  rest: readonly number[] | null = null,
): Omit<IntentRow, "type" | "atMs"> {
  const named = rest === null ? digests.recorded : rest.map((index) => at(digests.recorded, index));
  const { binding } = prepared;
  const count = named.length;
  return { asker, key: key.label, purpose, count, hash: hashOf(named), binding, trace };
}

/** The row that announces a precertificate's certificate. */
export function announcementOf(
  { key: { label: key }, purpose, asker, trace }: Job,
  { core, binding: { serial, verdict, tokenDigest, publicKeyHash } }: SignedPrecertificate,
): Omit<IntentRow, "type" | "atMs"> {
  const binding = { kind: "certificate", serial, verdict, tokenDigest, publicKeyHash } as const;
  return { asker, key, purpose, count: 1, hash: encodeHex(core), named: "core", binding, trace };
}

/** The outcome of the attempt under way. */
export function outcomeOf(
  { sequence: of, isNamedByCore, digests }: Job,
  said: Omit<Outcome, "of" | "hash">,
): Outcome {
  return { of, ...said, ...(isNamedByCore && { hash: hashOf(digests.recorded) }) };
}

/** SHA-256 over all of them in order, in hex. */
export function hashOf(list: readonly Uint8Array[]): string {
  return hash("sha256", list.length === 1 ? at(list, 0) : concat(...list), "hex");
}

/** One of a list that must have it. */
export function at(list: readonly Uint8Array[], index: number): Uint8Array {
  const found = list[index];
  if (found === undefined) throw new RangeError(`no message ${index}`);
  return found;
}
