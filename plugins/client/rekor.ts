/** Logging a signature: Rekor v1 REST, `POST /api/v1/log/entries`. */
import type { LogEntry } from "../../core/formats/bundle-entry.ts";
import {
  decodeBase64,
  decodeHex,
  encodeBase64,
  encodeHex,
  encodeUtf8,
} from "../../core/formats/encoding.ts";
import { parseJsonBytes } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { formatPem } from "../../core/formats/pem.ts";
import {
  type Field,
  readBytes,
  readInt64,
  readList,
  readMembers,
  readText,
} from "../../core/formats/protojson.ts";
import { type Response, jsonOf, request, type WilledRefusal } from "./remote.ts";
import { CommandError, exitCodes } from "./terminal.ts";

const what = "the log entry";

/** What a log answers that takes no more entries. */
export const refusedFrozen: WilledRefusal = {
  status: 405,
  says: "the log is frozen and takes no more entries",
  reason: "log-frozen",
};

/** The JSON of a `hashedrekord` 0.0.1. */
export function proposeHashedRekord(
  sha256: Uint8Array,
  signature: Uint8Array,
  certificate: Uint8Array,
): string {
  return JSON.stringify({
    apiVersion: "0.0.1",
    kind: "hashedrekord",
    spec: {
      data: { hash: { algorithm: "sha256", value: encodeHex(sha256) } },
      signature: {
        content: encodeBase64(signature),
        publicKey: { content: encodeBase64(encodeUtf8(formatPem("CERTIFICATE", certificate))) },
      },
    },
  });
}

/** The JSON of a `dsse` 0.0.1. */
export function proposeDsse(envelope: string, certificate: Uint8Array): string {
  const verifier = encodeBase64(encodeUtf8(formatPem("CERTIFICATE", certificate)));
  const proposedContent = { envelope, verifiers: [verifier] };
  return JSON.stringify({ apiVersion: "0.0.1", kind: "dsse", spec: { proposedContent } });
}

/** Logs a proposed entry; one that is logged already is fetched. @throws {CommandError} */
export async function logEntry(origin: string, proposed: string): Promise<LogEntry> {
  const url = `${origin}/api/v1/log/entries`;
  const headers = { "content-type": "application/json" };
  const answer = await request({
    method: "POST",
    url,
    headers,
    body: proposed,
    what,
    accept: [201, 409],
    refusals: [refusedFrozen],
  });
  return parseAnswer(answer.status === 409 ? await fetchKnown(url, answer) : answer);
}

/** The entry at `index`. @throws {CommandError} */
export async function fetchEntry(origin: string, index: bigint): Promise<LogEntry> {
  const url = `${origin}/api/v1/log/entries?logIndex=${index}`;
  return parseAnswer(await request({ method: "GET", url, what, accept: [200] }));
}

/** The Location of a conflict names the entry. Only its last part is used: where to ask is not the answerer's to say. */
async function fetchKnown(url: string, { location }: Response): Promise<Response> {
  const id = location?.split("/").at(-1) ?? "";
  if (!/^(?:[0-9a-f]{64}|[0-9a-f]{80})$/.test(id)) {
    throw new CommandError(
      exitCodes.failed,
      `${what} exists already, but the log does not say where`,
    );
  }
  return await request({ method: "GET", url: `${url}/${id}`, what, accept: [200] });
}

function parseAnswer(answer: Response): LogEntry {
  try {
    const json = jsonOf(answer, what);
    const [entry, ...more] = json !== null && typeof json === "object" ? Object.values(json) : [];
    if (entry === undefined || more.length > 0) throw new Malformed(`${what}: expected one`);
    return parseEntry(entry);
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new CommandError(exitCodes.failed, `the service's answer is broken: ${cause.message}`, {
      cause,
    });
  }
}

/** LogEntryAnon (rekor v1.5, openapi.yaml): hashes are hex, signatures and body base64. */
function parseEntry(value: Field): LogEntry {
  const entry = readMembers(value, what, [
    "logID",
    "logIndex",
    "integratedTime",
    "body",
    "verification",
    "attestation",
  ]);
  const verification = readMembers(entry.verification, what, [
    "inclusionProof",
    "signedEntryTimestamp",
  ]);
  const proof = readMembers(verification.inclusionProof, what, [
    "logIndex",
    "treeSize",
    "rootHash",
    "hashes",
    "checkpoint",
  ]);
  const canonicalizedBody = decodeBase64(readText(entry.body, what));
  const body = readMembers(parseJsonBytes(canonicalizedBody), what, ["apiVersion", "kind", "spec"]);
  return {
    index: readInt64(entry.logIndex, what),
    logId: decodeHex(readText(entry.logID, what)),
    kind: readText(body.kind, what),
    kindVersion: readText(body.apiVersion, what),
    integratedTimeSeconds: readInt64(entry.integratedTime, what),
    signedEntryTimestamp: readBytes(verification.signedEntryTimestamp, what),
    inclusionProof: {
      index: readInt64(proof.logIndex, what),
      size: readInt64(proof.treeSize, what),
      root: decodeHex(readText(proof.rootHash, what)),
      hashes: readList(proof.hashes, what, 64).map((hash) => decodeHex(readText(hash, what))),
      checkpoint: readText(proof.checkpoint, what),
    },
    canonicalizedBody,
  };
}
