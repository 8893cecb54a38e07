/**
 * What an in-toto statement is about (in-toto Attestation Framework v1, statement): the SHA-256 digests of its subjects, by which somebody
 * who has an artifact finds what is attested of it. They are kept beside a log's entry, 32 bytes each, one after the other.
 */
import { decodeHex, encodeHex } from "./encoding.ts";
import { type JsonValue, parseJsonBytes } from "./json.ts";
import { Malformed } from "./malformed.ts";

/** The payload type of statements in envelopes. */
export const inTotoPayloadType = "application/vnd.in-toto+json";

/** Bytes of a statement that is read for its subjects; a longer one is found by the digests of its payload and envelope. */
const maxStatementBytes = 1_048_576;
/** Subjects of a statement that it is found by; those after them are not read. */
export const maxSubjects = 64;
const digestBytes = 32;

/** The digests in a statement that anybody may have written: none, rather than an error, wherever it cannot be read. */
export function subjectDigests(payload: Uint8Array): Uint8Array {
  if (payload.length > maxStatementBytes) return new Uint8Array();
  const hex = new Set(subjectsIn(payload).flatMap(sha256In));
  return decodeHex([...hex].join(""));
}

/** The digests as hex, from how they are kept; none of what was never kept so. */
export function readSubjects(kept: Uint8Array): readonly string[] {
  const count = Math.floor(kept.length / digestBytes);
  return Array.from({ length: Math.min(count, maxSubjects) }, (_, at) =>
    encodeHex(kept.subarray(at * digestBytes, (at + 1) * digestBytes)),
  );
}

function subjectsIn(payload: Uint8Array): readonly JsonValue[] {
  try {
    const subjects = member(parseJsonBytes(payload), "subject");
    return Array.isArray(subjects) ? subjects.slice(0, maxSubjects) : [];
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    return [];
  }
}

function sha256In(subject: JsonValue): readonly string[] {
  const value = member(member(subject, "digest"), "sha256");
  return typeof value === "string" && /^[0-9a-fA-F]{64}$/.test(value) ? [value.toLowerCase()] : [];
}

function member(value: JsonValue | undefined, name: string): JsonValue | undefined {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return undefined;
  const members = value as { readonly [name: string]: JsonValue }; // neither null nor an array
  return Object.hasOwn(members, name) ? members[name] : undefined;
}
