/** In-toto statements (in-toto attestation framework, Statement v1 and v0.1): what an attestation is about. */
import { type HashName, hashLengths } from "../../../core/crypto/hash.ts";
import { decodeHex, equalBytes } from "../../../core/formats/encoding.ts";
import { type JsonValue, parseJsonBytes } from "../../../core/formats/json.ts";
import { Malformed } from "../../../core/formats/malformed.ts";
import type { Artifact } from "./artifact.ts";
import { NotVerified } from "./not-verified.ts";

/** The payload type of envelopes that hold a statement. */
export const statementPayloadType = "application/vnd.in-toto+json";

/** The statement type we write. */
export const statementType = "https://in-toto.io/Statement/v1";

/**
 * Does nothing if the payload is a statement about the artifact, and of the predicate type demanded if one is.
 *
 * @throws {NotVerified} otherwise.
 * @throws {Malformed} if it is no statement, or one beyond the limits of sigstore-go.
 */
export function verifyStatement(
  { payloadType, payload }: { readonly payloadType: string; readonly payload: Uint8Array },
  artifact: Artifact,
  predicateType: string | null,
): void {
  if (payloadType !== statementPayloadType) {
    throw new NotVerified("artifact", `payloads of type "${payloadType}" are not supported`);
  }
  const statement = objectOf(parseJsonBytes(payload), "statement");
  const type = statement["_type"];
  if (type !== statementType && type !== "https://in-toto.io/Statement/v0.1") {
    throw new NotVerified("artifact", "the attestation is not an in-toto statement");
  }
  const attested = statement["predicateType"];
  if (typeof attested !== "string" || attested === "") {
    throw new Malformed("statement: no predicateType");
  }
  if (predicateType !== null && attested !== predicateType) {
    throw new NotVerified("artifact", `the attestation is of type "${attested}"`);
  }
  const subjects = statement["subject"];
  if (!Array.isArray(subjects) || subjects.length === 0 || subjects.length > maxSubjects) {
    throw new Malformed(`statement: expected 1 to ${maxSubjects} subjects`);
  }
  // Every subject is read before any is compared, so that a broken one is found wherever it stands.
  const digests = subjects.map(readDigests);
  if (!digests.some((subject) => matches(subject, artifact))) {
    throw new NotVerified("artifact", "the attestation is about another artifact");
  }
}

const maxSubjects = 1024;
const maxDigests = 32;
const names: readonly HashName[] = ["sha256", "sha384", "sha512"];

type Digests = ReadonlyMap<HashName, Uint8Array>;

/** The digests that can be compared; others are legal and say nothing to us. */
function readDigests(subject: JsonValue): Digests {
  const digest = objectOf(objectOf(subject, "subject")["digest"], "subject: digest");
  const entries = Object.entries(digest);
  if (entries.length === 0 || entries.length > maxDigests) {
    throw new Malformed(`statement: expected 1 to ${maxDigests} digests a subject`);
  }
  const digests = new Map<HashName, Uint8Array>();
  for (const name of names) {
    const value = digest[name];
    if (value === undefined) continue;
    if (typeof value !== "string") throw new Malformed("statement: digest");
    const bytes = decodeHex(value);
    if (bytes.length !== hashLengths[name]) throw new Malformed(`statement: ${name} length`);
    digests.set(name, bytes);
  }
  return digests;
}

/** One digest is enough to differ, and at least one must agree. */
function matches(digests: Digests, artifact: Artifact): boolean {
  if (digests.size === 0) return false;
  return [...digests].every(([name, value]) => equalBytes(artifact.digest(name), value));
}

function objectOf(
  value: JsonValue | undefined,
  what: string,
): Readonly<Record<string, JsonValue | undefined>> {
  if (value === undefined || value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Malformed(`${what}: expected an object`);
  }
  return value as Readonly<Record<string, JsonValue>>; // neither null nor an array: JSON's object
}
