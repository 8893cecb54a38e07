/** Who is asking: which OIDC issuers are believed, and what each one's tokens mean. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import { authenticate, listIssuers } from "../../events/identity.ts";
import { decide } from "../../events/policy.ts";

/** An http(s) URL as the issuer itself writes it: it is compared byte for byte with `iss`. */
const url = v.pipe(
  v.string(),
  v.maxLength(2_048),
  v.regex(/^https?:\/\/[a-z0-9.-]+(?::\d{1,5})?(?:\/[!-~]*)?$/),
);

/** One accepted issuer. */
const issuerConfig = v.strictObject({
  issuerUrl: url,
  /** What the token's `aud` must contain. */
  audience: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(256)), "sigstore"),
  /** The provider that says what the claims mean: `email`, `uri`, `github-workflow`. */
  provider: v.pipe(v.string(), v.minLength(1)),
  /** For providers that bind subjects to a domain: scheme and host every subject must have. */
  subjectDomain: v.optional(url),
  /** The origin of `jwks_uri` where it is not the issuer's own, as with Google. */
  jwksOrigin: v.optional(v.pipe(v.string(), v.regex(/^https?:\/\/[a-z0-9.-]+(?::\d{1,5})?$/))),
});

/** An accepted issuer with its defaults filled in. */
export type IssuerConfig = v.InferOutput<typeof issuerConfig>;

export const identity = definePlugin({
  name: "identity",
  summary: "Verifies ID tokens and says whose they are",
  config: v.strictObject({
    issuers: v.pipe(v.array(issuerConfig), v.minLength(1), v.maxLength(64)),
    /** How far clocks may disagree. */
    skewSeconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(60)), 30),
  }),
  offers: [authenticate, listIssuers],
  needs: [decide],
  emits: [],
  follows: [],
  vouchesTo: ["hsm"],
  reaches: ["internet"],
});
