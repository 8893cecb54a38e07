/**
 * An ID token from its text to what it means: everything that is judged, in the order in which it is judged. The plugin, the
 * provider kit and `explain` all go through here, so that what a provider's author sees is what a server does.
 */
import type { Clock } from "../../core/clock.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { Failure } from "../../events/failure.ts";
import { checkClaims } from "./claims.ts";
import { type Claims, parseIdToken } from "./id-token.ts";
import type { IssuerKeys } from "./issuer-keys.ts";
import type { Issuer, Issuers } from "./issuers.ts";
import type { Mapped } from "./mapping.ts";
import type { UseOnce } from "./one-time.ts";
import { tokenVerifier } from "./signature.ts";

/** A token that was believed. */
export interface Verified extends Mapped {
  readonly issuer: Issuer;
  readonly claims: Claims;
}

/** What verification needs. */
export interface VerifierSurroundings {
  readonly issuers: Issuers;
  readonly keysOf: (issuer: Issuer) => IssuerKeys;
  readonly clock: Clock;
  readonly skewSeconds: number;
  /** Null where no issuer's tokens are taken once. */
  readonly useOnce: UseOnce | null;
}

/** The name of a check, for whoever follows one. */
export type Step = "form" | "issuer" | "signature" | "claims" | "mapping" | "use";

/**
 * Verifies a token. `passed` is told of each check when it has been passed.
 *
 * @throws {Malformed} with the reason. @throws {Failure} `issuer-unavailable`.
 */
export type Verify = (idToken: string, passed?: (step: Step) => void) => Promise<Verified>;

/** Makes the one way tokens are verified. */
export function createVerifier(surroundings: VerifierSurroundings): Verify {
  const { issuers, keysOf, clock, skewSeconds, useOnce } = surroundings;
  const verifies = tokenVerifier();
  return async (idToken, passed = () => undefined) => {
    const token = parseIdToken(idToken);
    passed("form");
    // An exact match before anything is fetched: a token cannot send us anywhere.
    const issuer = issuers.find(token.issuer);
    if (issuer === null) throw new Malformed("id token: of an issuer that is not accepted");
    const { config } = issuer;
    if (!config.algorithms.includes(token.algorithm)) {
      throw new Malformed("id token: algorithm is not accepted");
    }
    passed("issuer");
    // The signature is judged first, so that nothing is told about claims nobody signed.
    const key = await keysOf(issuer).find(token.keyId, token.algorithm);
    if (key === null) throw new Malformed("id token: signed by a key the issuer does not have");
    if (!(await verifies(token, key))) {
      throw new Malformed("id token: the signature does not verify");
    }
    passed("signature");
    const now = clock.now();
    const { audience, maxLifetimeSeconds } = config;
    checkClaims(token.claims, { audience, now, skewSeconds, maxLifetimeSeconds });
    passed("claims");
    const mapped = issuer.map(token.claims);
    passed("mapping");
    if (config.oneTime) {
      if (useOnce === null) throw new Failure("internal", "the store of used tokens is not open");
      await useOnce(issuer.url, token.claims, now.getTime());
    }
    passed("use");
    return { ...mapped, issuer, claims: token.claims };
  };
}
