/**
 * ID tokens (OpenID Connect Core 1.0 §2) in JWS compact serialisation (RFC 7515 §7.1), taken apart strictly before anything is
 * believed. The token is attacker-controlled: its length and dots are looked at before it is split, its header may name a key of
 * the issuer and nothing else.
 */
import { decodeBase64Url, encodeUtf8 } from "../../core/formats/encoding.ts";
import { type JsonValue, parseClaimsJson } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";

/** The signature algorithms of RFC 7518 and RFC 8037 that need no shared secret. */
export const signatureAlgorithms = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;

/** One of {@link signatureAlgorithms}. */
export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

/** The members of a JSON object. */
export type Claims = { readonly [name: string]: JsonValue };

/** A token whose signature has not been verified yet. */
export interface UnverifiedToken {
  readonly algorithm: SignatureAlgorithm;
  readonly keyId: string | null;
  readonly issuer: string;
  readonly claims: Claims;
  /** What the signature is over: the first two parts as they came. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

const maxTokenLength = 16_384;
const maxKeyIdLength = 256;

/** Header members that bring a key along, change what is signed, or demand understanding. */
const refusedHeaders = ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"];

/** @throws {Malformed} with the reason. */
export function parseIdToken(token: string): UnverifiedToken {
  if (token.length > maxTokenLength) throw new Malformed("id token: too long");
  const first = token.indexOf(".");
  const second = token.indexOf(".", first + 1);
  if (first < 1 || second < 0 || token.indexOf(".", second + 1) >= 0) {
    throw new Malformed("id token: not three parts");
  }
  const header = parsePart(token.slice(0, first));
  const claims = parsePart(token.slice(first + 1, second));
  const signature = decodeBase64Url(token.slice(second + 1));
  if (signature.length === 0) throw new Malformed("id token: no signature");
  const issuer = claims["iss"];
  if (typeof issuer !== "string") throw new Malformed("id token: no issuer");
  const signed = encodeUtf8(token.slice(0, second));
  return { ...readHeader(header), issuer, claims, signed, signature };
}

function readHeader(header: Claims): Pick<UnverifiedToken, "algorithm" | "keyId"> {
  const refused = refusedHeaders.find((name) => Object.hasOwn(header, name));
  if (refused !== undefined) throw new Malformed(`id token: header has "${refused}"`);
  const { alg, kid = null, typ = "JWT" } = header;
  const algorithm = signatureAlgorithms.find((known) => known === alg);
  if (algorithm === undefined) throw new Malformed("id token: algorithm is not accepted");
  // An access token or a logout token says so here (RFC 9068 §2.1); it is not an ID token.
  if (typeof typ !== "string" || !/^(?:application\/)?jwt$/i.test(typ)) {
    throw new Malformed("id token: of another type");
  }
  if (kid !== null && (typeof kid !== "string" || kid.length > maxKeyIdLength)) {
    throw new Malformed("id token: key id");
  }
  return { algorithm, keyId: kid };
}

function parsePart(part: string): Claims {
  const value = parseClaimsJson(decodeBase64Url(part));
  if (!isObject(value)) throw new Malformed("id token: expected a JSON object");
  return value;
}

/** True for a JSON object. */
export function isObject(value: JsonValue | undefined): value is Claims {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
