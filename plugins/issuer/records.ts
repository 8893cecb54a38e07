/**
 * What the issuer writes down, and when: the intent before anything is signed, one outcome for every intent, and every refusal.
 * Intents and outcomes are rows under the serial that never change; `open` tells which intents still wait for their outcome.
 */
import { sha256 } from "../../core/crypto/hash.ts";
import {
  concat,
  decodeUtf8,
  encodeBase64,
  encodeHex,
  encodeUtf8,
} from "../../core/formats/encoding.ts";
import { parseJsonBytes } from "../../core/formats/json.ts";
import { decodeVerdict } from "../../core/formats/verdict.ts";
import { emit, type Store } from "../../core/plugin.ts";
import type { Row } from "../../core/storage.ts";
import type { Failure } from "../../events/failure.ts";
import type { Principal, Provenance, SealedVerdict } from "../../events/identity.ts";
import {
  certificateIssued,
  certificateRefused,
  type refusalsCounted,
} from "../../events/issuer.ts";
import { parseProvenance, type StoredProvenance } from "./provenance.ts";

/** The issuer's own store. */
export type IssuerStore = Store<
  readonly [typeof certificateIssued, typeof certificateRefused, typeof refusalsCounted]
>;

/**
 * How far an issuance can come. From the first question to the vault on, a precertificate may be in the world, and from the second on a
 * certificate; the log and the vault answer in either order, and the later of the two stages is what is told.
 */
export const stages = [
  "recorded",
  "precertificate asked for",
  "precertificate signed",
  "certificate asked for",
  "logged",
  "certificate signed",
] as const;

/** How far an issuance came. */
export type Stage = (typeof stages)[number];

/** Who asks, as identity said, and on what that rests. */
export interface Identified {
  readonly principal: Principal;
  readonly provenance: Provenance;
}

/** A request whose identity is known. */
interface Request extends Identified {
  /** Its id at the door. */
  readonly requestId: string;
  readonly tokenDigest: Uint8Array;
}

/** Everything that is certain before the first signature. */
export interface Intent extends Request {
  readonly serial: Uint8Array;
  /** Identity's verdict as the vault will see it. */
  readonly sealed: SealedVerdict;
  readonly publicKeyHash: Uint8Array;
  readonly notBefore: Date;
}

/** A certificate that is complete. */
export interface Issued {
  readonly certificate: Uint8Array;
  readonly ctTimestampMs: bigint;
  readonly issuedAt: Date;
}

/** Writes and reads the issuer's records. Every method resolves only when what it wrote is durable. */
export interface Records {
  /** @throws {Conflict} if the serial was used before. */
  intend(intent: Intent): Promise<void>;
  issued(intent: Intent, issued: Issued): Promise<void>;
  /** The intent will not become a certificate that anybody is given. */
  abandoned(intent: Intent, stage: Stage, failure: Failure, at: Date): Promise<void>;
  /** A request that never came to an intent. */
  refused(request: Request, failure: Failure, at: Date): Promise<void>;
  /** Gives up the intents a crash has left behind, and says how many they were. Before the first request only. */
  sweep(at: Date): Promise<number>;
  /** The newest notBefore of any intent. */
  lastNotBefore(): Promise<Date | null>;
}

/** Records in `store`. */
export function recordsIn(store: IssuerStore): Records {
  /** The newest notBefore that is durable: it stands for a second, and is written once. */
  let durableMs = -Infinity;
  return {
    async intend(intent) {
      const { serial, notBefore } = intent;
      const isNewer = notBefore.getTime() > durableMs;
      const clock = { table: "clock", key: clockKey, value: encodeUtf8(notBefore.toISOString()) };
      await store.commit({
        writes: [
          { table: "intents", key: serial, value: formatIntent(intent) },
          { table: "open", key: serial, value: empty },
          ...(isNewer ? [clock] : []),
        ],
        expect: [{ table: "intents", key: serial, value: null }],
      });
      durableMs = Math.max(durableMs, notBefore.getTime());
    },

    async issued(intent, done) {
      await store.commit({
        ...closing(intent.serial, {
          outcome: "issued",
          // The certificate itself is in the fact, a row of the same commit.
          certificateSha256: encodeHex(sha256(done.certificate)),
          ctTimestampMs: done.ctTimestampMs.toString(),
          issuedAt: done.issuedAt.toISOString(),
        }),
        facts: [emit(certificateIssued, issuedFact(intent, done))],
      });
    },

    async abandoned(intent, stage, failure, at) {
      const reason = `given up after "${stage}": ${failure.message}`;
      const { serial } = intent;
      const body = { code: failure.code, reason, serial, ...whoOf(intent) };
      await store.commit({
        ...closing(serial, abandonment(stage, { code: failure.code, reason, at })),
        facts: [emit(certificateRefused, { ...body, refusedAtMs: BigInt(at.getTime()) })],
      });
    },

    async refused(request, failure, at) {
      const { code, message: reason } = failure;
      const { extensions, san } = request.principal;
      const what = { sanKind: san.kind, extensions };
      const body = { code, reason, ...whoOf(request), ...what, refusedAtMs: BigInt(at.getTime()) };
      await store.commit({ facts: [emit(certificateRefused, body)] });
    },

    sweep: async (at) => await sweep(store, at),

    async lastNotBefore() {
      const value = await store.get("clock", clockKey);
      return value === null ? null : new Date(decodeUtf8(value));
    },
  };
}

const empty = new Uint8Array();
const clockKey = encodeUtf8("notBefore");
const sweepBatch = 256;
const unknownReason =
  "unknown-signed: the service ended before the outcome was recorded; a precertificate may exist, a certificate was never handed out";

/** What both facts say of a request. */
function whoOf({ principal, provenance, requestId, tokenDigest }: Request) {
  const { oidcIssuer, subject, san } = principal;
  return { oidcIssuer, subject, san: san.value, tokenDigest, requestId, provenance };
}

/**
 * A line of JSON, and behind it the verdict, which says everything else. So short that most rows lie in a page beside others: what is
 * more than a quarter of a page gets one of its own, which is then written for each certificate.
 */
function formatIntent({ sealed, notBefore, requestId }: Intent): Uint8Array {
  const head = {
    version: 2,
    mac: encodeBase64(sealed.mac),
    notBefore: notBefore.toISOString(),
    requestId,
  };
  return concat(encodeUtf8(`${JSON.stringify(head)}\n`), sealed.verdict);
}

/** The one outcome of an intent: expected absent, so that there is never a second. */
function closing(serial: Uint8Array, outcome: { readonly [member: string]: string }) {
  return {
    writes: [
      { table: "outcomes", key: serial, value: formatJson({ version: 1, ...outcome }) },
      { table: "open", key: serial, value: null },
    ],
    expect: [
      { table: "outcomes", key: serial, value: null },
      { table: "open", key: serial, value: empty },
    ],
  };
}

function abandonment(
  stage: Stage | "unknown",
  { code, reason, at }: { readonly code: string; readonly reason: string; readonly at: Date },
) {
  return { outcome: "abandoned", stage, code, reason, abandonedAt: at.toISOString() };
}

function issuedFact(intent: Intent, issued: Issued) {
  const { principal, serial, publicKeyHash } = intent;
  return {
    ...whoOf(intent),
    sanKind: principal.san.kind,
    extensions: principal.extensions,
    serial,
    publicKeyHash,
    certificate: issued.certificate,
    ctTimestampMs: issued.ctTimestampMs,
    issuedAtMs: BigInt(issued.issuedAt.getTime()),
  };
}

async function sweep(store: IssuerStore, at: Date): Promise<number> {
  let swept = 0;
  // One batch after the other: each takes its rows out of the table that the next one scans.
  for (;;) {
    const open = await store.scan("open", { limit: sweepBatch });
    if (open.length === 0) return swept;
    await Promise.all(open.map(async ({ key }) => await sweepOne(store, key, at)));
    swept += open.length;
  }
}

async function sweepOne(store: IssuerStore, serial: Row["key"], at: Date): Promise<void> {
  const who = parseIntent(await store.get("intents", serial));
  const refused = { code: "internal", reason: unknownReason };
  await store.commit({
    ...closing(serial, abandonment("unknown", { ...refused, at })),
    facts: [
      emit(certificateRefused, { ...refused, serial, ...who, refusedAtMs: BigInt(at.getTime()) }),
    ],
  });
}

/** Intents of version 1 are JSON whole; the oldest have neither request nor provenance. */
interface OldIntent {
  readonly oidcIssuer: string;
  readonly subject: string;
  readonly san: string;
  readonly requestId?: string;
  readonly provenance?: StoredProvenance;
  readonly tokenDigest: string;
}

/** What the fact says of a request that a crash has ended. */
function parseIntent(value: Uint8Array | null) {
  if (value === null)
    throw new Error("an open serial has no intent: the issuer's store is damaged");
  const headEnd = value.indexOf(lineFeed);
  if (headEnd === -1) return parseOldIntent(value);
  // formatIntent wrote it, in the commit that opened the serial.
  const head = parseJsonBytes(value.subarray(0, headEnd)) as unknown as {
    readonly requestId: string;
  };
  const { principal, tokenDigest, provenance } = decodeVerdict(value.subarray(headEnd + 1));
  const { oidcIssuer, subject, san } = principal;
  const who = { oidcIssuer, subject, san: san.value, tokenDigest, requestId: head.requestId };
  return { ...who, ...(provenance !== undefined && { provenance }) };
}

const lineFeed = 0x0a;

function parseOldIntent(value: Uint8Array) {
  // An older release wrote it.
  const intent = parseJsonBytes(value) as unknown as OldIntent;
  const { oidcIssuer, subject, san, requestId, provenance } = intent;
  return {
    oidcIssuer,
    subject,
    san,
    tokenDigest: Uint8Array.fromHex(intent.tokenDigest),
    ...(requestId !== undefined && { requestId }),
    ...(provenance !== undefined && { provenance: parseProvenance(provenance) }),
  };
}

function formatJson(value: { readonly [member: string]: string | number }): Uint8Array {
  return encodeUtf8(JSON.stringify(value));
}
