/**
 * A record of the audit trail, version 1: canonical JSON (RFC 8785) under its sequence number, with the hash of the record before it. Whoever knows a
 * record's hash can tell whether anything before it was changed, removed or put in between.
 *
 * Fields that say something about a person are marked `personal` in the schema: whoever exports or erases goes by that.
 */
import { hash } from "node:crypto";
import * as v from "valibot";
import { decodeUtf8, encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { parseJson } from "../../core/formats/json.ts";

/** The hash before the first record. */
export const genesisHash = "0".repeat(64);

/** Says something about a person. */
const personal = <S extends v.GenericSchema>(schema: S) =>
  v.pipe(schema, v.metadata({ personal: true }));

const hex = v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2})+$/));
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const number = v.pipe(v.string(), v.regex(/^(?:0|[1-9]\d{0,18})$/));
const time = v.pipe(v.string(), v.isoTimestamp());

const provenance = v.object({
  provider: v.string(),
  providerVersion: v.string(),
  mappingSha256: sha256,
  assurance: personal(
    v.object({
      acr: v.optional(v.string()),
      amr: v.optional(v.array(v.string())),
      authTimeS: v.optional(v.number()),
    }),
  ),
  facets: personal(v.array(v.object({ name: v.string(), value: v.string() }))),
  decision: v.optional(
    v.object({ rule: v.string(), policyVersion: v.string(), policySha256: sha256 }),
  ),
});

/** Where a fact stood in its emitter's stream. */
const source = v.object({ stream: v.string(), sequence: v.number() });

const issued = v.object({
  kind: v.literal("issued"),
  source,
  at: time,
  requestId: v.optional(v.string()),
  serial: hex,
  /** Of the certificate. */
  fingerprint: sha256,
  publicKeySha256: sha256,
  tokenSha256: sha256,
  ctTimestampMs: number,
  oidcIssuer: v.string(),
  subject: personal(v.string()),
  san: personal(v.string()),
  sanKind: v.picklist(["email", "uri", "otherName"]),
  /** Of the certificate, by their names: workflow, run, repository. */
  extensions: personal(v.record(v.string(), v.string())),
  provenance: v.optional(provenance),
});

const refused = v.object({
  kind: v.literal("refused"),
  source,
  at: time,
  requestId: v.optional(v.string()),
  code: v.string(),
  reason: v.string(),
  /** Present if a precertificate may exist. */
  serial: v.optional(hex),
  tokenSha256: sha256,
  oidcIssuer: v.optional(v.string()),
  subject: personal(v.optional(v.string())),
  san: personal(v.optional(v.string())),
  sanKind: v.optional(v.picklist(["email", "uri", "otherName"])),
  extensions: personal(v.optional(v.record(v.string(), v.string()))),
  provenance: v.optional(provenance),
});

/** A token of the embedded sign-in: somebody signed in there. */
const signedIn = v.object({
  kind: v.literal("signed-in"),
  source,
  at: time,
  /** By which the certificate it was used for is found. */
  tokenSha256: sha256,
  oidcIssuer: v.string(),
  subject: personal(v.string()),
  /** The address. */
  san: personal(v.optional(v.string())),
  audience: v.string(),
  by: v.picklist(["account", "admin-secret", "upstream"]),
  upstream: v.optional(v.string()),
});

/** Sign-ins at the embedded sign-in that came to nothing, a second's worth. */
const signInsRefused = v.object({
  kind: v.literal("sign-ins-refused"),
  source,
  refusals: v.array(
    v.object({
      code: v.string(),
      reason: v.string(),
      oidcIssuer: v.string(),
      /** The address of an account that exists. */
      account: personal(v.optional(v.string())),
      network: personal(v.string()),
      at: time,
      count: v.number(),
    }),
  ),
});

/** Refusals of nobody in particular, a second's worth. */
const counted = v.object({
  kind: v.literal("counted"),
  source,
  refusals: v.array(
    v.object({
      code: v.string(),
      reason: v.string(),
      oidcIssuer: v.optional(v.string()),
      network: personal(v.string()),
      at: time,
      count: v.number(),
    }),
  ),
});

const place = { source, log: v.string(), index: number, leafHash: sha256, at: time };

const certificateEntry = v.object({
  kind: v.literal("certificate-entry"),
  ...place,
  of: v.picklist(["precertificate", "certificate"]),
  /** A CA's: made by a ceremony, not by the issuer, and anybody may submit it. */
  isAuthority: v.boolean(),
  serial: hex,
  /** SHA-256 of the TBSCertificate, or of the certificate. */
  contentSha256: sha256,
});

const signatureEntry = v.object({
  kind: v.literal("signature-entry"),
  ...place,
  /** `hashedrekord 0.0.1` and so on; `unknown` if the entry could not be read. */
  type: v.string(),
  digests: v.array(
    v.object({
      of: v.picklist(["artifact", "envelope", "payload"]),
      algorithm: v.string(),
      value: hex,
    }),
  ),
  signers: v.array(
    v.object({
      publicKeySha256: v.optional(sha256),
      /** Of the certificate, if there is one; the rest is what that says, which need not be ours. */
      fingerprint: v.optional(sha256),
      serial: v.optional(hex),
      san: personal(v.optional(v.string())),
      oidcIssuer: v.optional(v.string()),
    }),
  ),
});

/** What a record tells. */
export const body = v.variant("kind", [
  issued,
  refused,
  counted,
  signedIn,
  signInsRefused,
  certificateEntry,
  signatureEntry,
]);

const record = v.object({
  sequence: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  /** SHA-256 of the record before, or zeros. */
  previous: sha256,
  body,
});

/** What a record tells. */
export type Body = v.InferOutput<typeof body>;
/** A {@link Body} of one kind. */
export type BodyOf<Kind extends Body["kind"]> = Extract<Body, { kind: Kind }>;
/** A record. */
export type AuditRecord = v.InferOutput<typeof record>;

/** The bytes of a record; its hash is theirs. */
export function formatRecord({ sequence, previous, body: told }: AuditRecord): Uint8Array {
  // Those who make bodies name members in their order, so nearly none is put in order here.
  const text = isInOrder(told) ? JSON.stringify(told) : canonical(told);
  return encodeUtf8(`{"body":${text},"previous":"${previous}","sequence":${sequence}}`);
}

/** True if all members in it are in the order that RFC 8785 wants, by which {@link canonical} is what `JSON.stringify` does. */
function isInOrder(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (Array.isArray(value)) return value.every(isInOrder);
  const members = value as { readonly [name: string]: unknown }; // not an array, not null: an object of values
  let before = "";
  for (const name in members) {
    if (name < before || !isInOrder(members[name])) return false;
    before = name;
  }
  return true;
}

/** Members in the order of their names, as RFC 8785 has them: the rest of it is what `JSON.stringify` does for text and integers. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = value as { readonly [name: string]: unknown }; // not an array, not null: an object of values
  let text = "";
  // Sorted as JavaScript sorts strings, which is by their UTF-16 code units.
  for (const name of Object.keys(members).toSorted()) {
    const member = members[name];
    if (member === undefined) continue;
    text += `${text === "" ? "" : ","}${JSON.stringify(name)}:${canonical(member)}`;
  }
  return `{${text}}`;
}

/** @throws {Malformed} */
export function parseRecord(bytes: Uint8Array): AuditRecord {
  const checked = v.safeParse(record, parseJson(decodeUtf8(bytes)));
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  throw new Malformed(`audit record: ${v.getDotPath(issue) ?? ""}: ${issue.message}`);
}

/** SHA-256 of a record's bytes, hex. */
export function hashRecord(bytes: Uint8Array): string {
  return hash("sha256", bytes, "hex");
}
