/** Who is asking: ID tokens in, principals out. */
import * as v from "valibot";
import { bytes, hash } from "./bytes.ts";
import { ask } from "./contract.ts";

/** The one subject alternative name a certificate carries. */
export const subjectAlternativeName = v.strictObject({
  /** `email` is an rfc822Name, `uri` a uniformResourceIdentifier, `otherName` Fulcio's user name form (1.3.6.1.4.1.57264.1.7). */
  kind: v.picklist(["email", "uri", "otherName"]),
  value: v.pipe(v.string(), v.minLength(1), v.maxLength(2048)),
});

/** What a verified token says about who presented it. */
export const principal = v.strictObject({
  /** The OIDC issuer as it goes into extension .8 (and .1): usually `iss`. */
  oidcIssuer: v.pipe(v.string(), v.minLength(1), v.maxLength(2048)),
  /** The raw `sub` claim: extension .24. */
  subject: v.pipe(v.string(), v.minLength(1), v.maxLength(2048)),
  /** What the proof of possession signs, as UTF-8: the e-mail address or the subject. */
  challenge: v.pipe(v.string(), v.minLength(1), v.maxLength(2048)),
  san: subjectAlternativeName,
  /** Fulcio extensions 1.3.6.1.4.1.57264.1.N besides .1, .8 and .24, ascending by N. */
  extensions: v.array(
    v.strictObject({
      arc: v.pipe(v.number(), v.integer(), v.minValue(2), v.maxValue(23)),
      value: v.pipe(v.string(), v.minLength(1), v.maxLength(4096)),
    }),
  ),
});

/** A {@link principal}. */
export type Principal = v.InferOutput<typeof principal>;

/** What the issuer said of how it had recognised its user (OpenID Connect Core §2). */
export const assurance = v.strictObject({
  acr: v.optional(v.pipe(v.string(), v.maxLength(256))),
  amr: v.optional(v.pipe(v.array(v.pipe(v.string(), v.maxLength(256))), v.maxLength(16))),
  /** `auth_time`: seconds since the epoch. */
  authTimeS: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
});

/** By whose word and by which mapping a principal came about: recorded with every certificate and every refusal. */
export const provenance = v.strictObject({
  /** The provider's type. */
  provider: v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
  providerVersion: v.pipe(v.string(), v.minLength(1), v.maxLength(32)),
  /** Of the provider's file, or of the canonical JSON of one that is part of this tree. */
  mappingSha256: hash,
  assurance,
  /** Terms to search by. */
  facets: v.pipe(
    v.array(
      v.strictObject({
        name: v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
        value: v.pipe(v.string(), v.minLength(1), v.maxLength(1024)),
      }),
    ),
    v.maxLength(32),
  ),
  /** The policy's, where one was asked. */
  decision: v.optional(
    v.strictObject({
      rule: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
      policyVersion: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
      policySha256: hash,
    }),
  ),
});

/** A {@link provenance}. */
export type Provenance = v.InferOutput<typeof provenance>;

/** A verdict on its way to the vault: its bytes (`core/formats/verdict.ts`) and identity's MAC over it under the key it shares with the vault. */
export const sealedVerdict = v.strictObject({ verdict: bytes, mac: hash });

/** A {@link sealedVerdict}. */
export type SealedVerdict = v.InferOutput<typeof sealedVerdict>;

/**
 * The details of the failures `policy-refused` and `rate-limited` of {@link authenticate}: the token was genuine, so whoever records
 * the refusal can say whose it was.
 */
export const refusedIdentity = v.strictObject({
  principal,
  provenance,
  retryAfterSeconds: v.optional(v.number()),
});

/** Verifies an ID token, asks the policy, and says whose the token is. */
export const authenticate = ask("identity", "authenticate", {
  question: v.strictObject({
    /** Compact JWS, at most 16 KiB. */
    idToken: v.pipe(v.string(), v.maxLength(16_384)),
    /** SHA-256 of the SubjectPublicKeyInfo that the verdict is to be bound to. */
    publicKeyHash: hash,
  }),
  answer: v.strictObject({ principal, provenance, sealed: sealedVerdict }),
  failures: ["identity-rejected", "issuer-unavailable", "policy-refused", "rate-limited"],
  deadlineMs: 12_000,
});

/** The OIDC issuers that are accepted, as `GET /api/v2/configuration` lists them. */
export const listIssuers = ask("identity", "listIssuers", {
  question: v.strictObject({}),
  answer: v.strictObject({
    issuers: v.array(
      v.strictObject({
        /** With `*` for each variable where it is a template. */
        issuerUrl: v.string(),
        /** The same where it is a template, and absent where it is not. */
        wildcardIssuerUrl: v.optional(v.string()),
        audience: v.string(),
        challengeClaim: v.string(),
        issuerType: v.string(),
      }),
    ),
  }),
  failures: [],
  deadlineMs: 2_000,
});
