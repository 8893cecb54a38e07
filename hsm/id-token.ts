/** ID tokens (OpenID Connect Core 1.0 §2) as compact JWS with RS256 (RFC 7515, RFC 7518 §3.3). */
import { encodeBase64Url, encodeUtf8 } from "../core/formats/encoding.ts";
import { type JsonValue, parseJson } from "../core/formats/json.ts";
import { rsaJwk } from "../core/formats/jwk.ts";
import { Malformed } from "../core/formats/malformed.ts";
import { Failure } from "../events/failure.ts";
import type { VaultKey } from "./keyring.ts";
import type { Prepared } from "./prepared.ts";

const maxLifetimeSeconds = 3_600;
const maxSkewSeconds = 60;

/** @throws {Failure} purpose-refused. @throws {Malformed} if a claim is missing or out of bounds */
export function prepareIdToken(text: string, key: VaultKey, nowMs: number): Prepared {
  const claims = parseJson(text);
  if (claims === null || typeof claims !== "object" || Array.isArray(claims)) {
    throw new Malformed("id token: claims are a JSON object");
  }
  const claim = (name: string): JsonValue | undefined =>
    Object.entries(claims).find(([own]) => own === name)?.[1];
  if (key.issuer === undefined || claim("iss") !== key.issuer) {
    throw new Failure("purpose-refused", `${key.label} signs only for the issuer it is bound to`);
  }
  for (const name of ["sub", "aud"]) {
    const value = claim(name);
    if (typeof value !== "string" || value === "") {
      throw new Malformed(`id token: ${name} must be a text`);
    }
  }
  const issuedAt = seconds(claim("iat"), "iat");
  const expiresAt = seconds(claim("exp"), "exp");
  if (Math.abs(issuedAt - nowMs / 1_000) > maxSkewSeconds) {
    throw new Malformed("id token: iat is not now");
  }
  if (expiresAt <= issuedAt || expiresAt - issuedAt > maxLifetimeSeconds) {
    throw new Malformed(`id token: exp must follow iat within ${maxLifetimeSeconds} seconds`);
  }
  const payload = encodeBase64Url(encodeUtf8(JSON.stringify(claims)));
  const input = encodeUtf8(`${headerOf(key)}.${payload}`);
  return {
    messages: [input],
    claim: { kind: "none" },
    binding: { kind: "none" },
    signed: () => input,
  };
}

/** A key's header never changes, and reading the key costs more than all the rest. */
const headers = new WeakMap<VaultKey, string>();

function headerOf(key: VaultKey): string {
  const known = headers.get(key);
  if (known !== undefined) return known;
  const { kid } = rsaJwk(key.publicKey);
  // `typ` is optional (RFC 7519 §5.1), and providers that have their tokens signed elsewhere leave it out: one header for all of them.
  const header = encodeBase64Url(encodeUtf8(JSON.stringify({ alg: "RS256", kid })));
  headers.set(key, header);
  return header;
}

function seconds(value: JsonValue | undefined, name: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) {
    throw new Malformed(`id token: ${name} must be a whole number of seconds`);
  }
  return value;
}
