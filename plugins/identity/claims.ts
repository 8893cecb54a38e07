/** What every ID token must say, whoever issued it: OpenID Connect Core 1.0 §3.1.3.7. The signature has been verified before. */
import type { JsonValue } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Claims } from "./id-token.ts";

/** What the claims are held against. */
export interface Expected {
  readonly audience: string;
  readonly now: Date;
  readonly skewSeconds: number;
  /** How long a token may live from its issue to its end. */
  readonly maxLifetimeSeconds: number;
}

const maxAudiences = 32;

/** @throws {Malformed} with the reason. */
export function checkClaims(claims: Claims, expected: Expected): void {
  const audiences = readAudiences(claims["aud"]);
  if (!audiences.includes(expected.audience)) {
    throw new Malformed("id token: for another audience");
  }
  // The party it was issued to has to be us only where several could claim to be meant; CI systems put their own ids there.
  const azp = Object.hasOwn(claims, "azp") ? claims["azp"] : undefined;
  if (azp !== undefined && (typeof azp !== "string" || azp === "")) {
    throw new Malformed("id token: authorised party");
  }
  if (azp !== undefined && audiences.length > 1 && azp !== expected.audience) {
    throw new Malformed("id token: issued to another party");
  }
  const nowSeconds = expected.now.getTime() / 1_000;
  const expiresAt = readTime(claims, "exp");
  const issuedAt = readTime(claims, "iat");
  const notBefore = Object.hasOwn(claims, "nbf") ? readTime(claims, "nbf") : issuedAt;
  if (nowSeconds >= expiresAt + expected.skewSeconds) throw new Malformed("id token: expired");
  if (Math.max(issuedAt, notBefore) > nowSeconds + expected.skewSeconds) {
    throw new Malformed("id token: not valid yet");
  }
  if (expiresAt <= issuedAt) throw new Malformed("id token: expires before it is issued");
  if (expiresAt - issuedAt > expected.maxLifetimeSeconds)
    throw new Malformed("id token: lives too long");
}

function readAudiences(audience: JsonValue | undefined): readonly JsonValue[] {
  if (typeof audience === "string") return [audience];
  if (!Array.isArray(audience)) throw new Malformed("id token: no audience");
  const all: readonly JsonValue[] = audience;
  if (all.length > maxAudiences || !all.every((one) => typeof one === "string")) {
    throw new Malformed("id token: audience");
  }
  return all;
}

/** NumericDate, RFC 7519 §2: seconds, possibly with a fraction. */
function readTime(claims: Claims, name: "exp" | "iat" | "nbf"): number {
  const seconds = claims[name];
  if (typeof seconds !== "number" || seconds < 0 || seconds > Number.MAX_SAFE_INTEGER) {
    throw new Malformed(`id token: "${name}" is not a time`);
  }
  return seconds;
}
