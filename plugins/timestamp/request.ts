/** Requests in both forms: RFC 3161's, and the JSON of sigstore's timestamp authority (`timestamp-authority:openapi.yaml`). */
import { decodeBase64, decodeUtf8, uintBytes } from "../../core/formats/encoding.ts";
import { parseJson } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { readMembers, readText } from "../../core/formats/protojson.ts";
import {
  type ImprintHash,
  imprintHashes,
  parseTimestampRequest,
  type TimestampFailure,
  type TimestampRequest,
  UnacceptedExtension,
} from "../../core/formats/tsp.ts";

/** A request that can be granted. */
export interface Grantable extends TimestampRequest {
  readonly hashAlgorithm: ImprintHash;
}

/** Why a request is not granted. */
export interface Refused {
  readonly refused: TimestampFailure;
  readonly reason: string;
}

/** Longest JSON request; a number of a million digits would cost more than the timestamp. */
const maxJsonBytes = 1_024;
const maxNonceBytes = 20;

/** Reads a TimeStampReq and says in its own terms what is wrong with it. */
export function readQuery(request: Uint8Array, policy: string): Grantable | Refused {
  try {
    return judge(parseTimestampRequest(request), policy);
  } catch (error) {
    if (error instanceof UnacceptedExtension) {
      return { refused: "unacceptedExtension", reason: "no extension is accepted here" };
    }
    if (error instanceof Malformed) {
      return { refused: "badDataFormat", reason: "the request is not a TimeStampReq in DER" };
    }
    throw error;
  }
}

/** Reads a JSON request. @throws {Malformed} */
export function readJson(request: Uint8Array, policy: string): Grantable | Refused {
  if (request.length > maxJsonBytes) throw new Malformed("timestamp request: longer than 1 KiB");
  const text = decodeUtf8(request);
  const where = "timestamp request";
  const json = readMembers(parseJson(text), where, [
    "artifactHash",
    "hashAlgorithm",
    "certificates",
    "nonce",
    "tsaPolicyOID",
  ]);
  const { certificates = false, tsaPolicyOID } = json;
  if (typeof certificates !== "boolean") throw new Malformed(`${where}: certificates`);
  const hashAlgorithm = hashNamed(readText(json.hashAlgorithm, where));
  const messageImprint = decodeBase64(readText(json.artifactHash, where));
  if (hashAlgorithm !== null && messageImprint.length !== imprintHashes[hashAlgorithm].length) {
    throw new Malformed(`${where}: artifactHash has not the length of its hash`);
  }
  const nonce = json.nonce === undefined ? null : nonceIn(text);
  const wanted = tsaPolicyOID === undefined ? null : readText(tsaPolicyOID, where);
  return judge(
    { hashAlgorithm, messageImprint, policy: wanted, nonce, certReq: certificates },
    policy,
  );
}

function judge(request: TimestampRequest, policy: string): Grantable | Refused {
  const { hashAlgorithm, policy: wanted, nonce } = request;
  if (hashAlgorithm === null) {
    return { refused: "badAlg", reason: "only SHA-256, SHA-384 and SHA-512 are accepted" };
  }
  if (wanted !== null && wanted !== policy) {
    return { refused: "unacceptedPolicy", reason: `the only policy here is ${policy}` };
  }
  if (nonce !== null && nonce.length > maxNonceBytes) {
    return { refused: "badDataFormat", reason: `the nonce has more than ${maxNonceBytes} bytes` };
  }
  return { ...request, hashAlgorithm };
}

function hashNamed(name: string): ImprintHash | null {
  return name === "sha256" || name === "sha384" || name === "sha512" ? name : null;
}

/**
 * The digits of the member `nonce`, which JSON's numbers would round. In JSON that was parsed, a quote that closes `nonce` before a
 * colon closes a member's name; no other member of that end passed the parser.
 */
function nonceIn(text: string): Uint8Array {
  const [, digits] =
    /"nonce"[ \t\r\n]*:[ \t\r\n]*(0|[1-9][0-9]{0,48})[ \t\r\n]*[,}]/.exec(text) ?? [];
  if (digits === undefined || BigInt(digits) >= 1n << BigInt(8 * maxNonceBytes)) {
    throw new Malformed(
      `timestamp request: nonce is not an integer of at most ${maxNonceBytes} bytes`,
    );
  }
  const value = BigInt(digits);
  return uintBytes(value, Math.max(1, Math.ceil(value.toString(16).length / 2)));
}
