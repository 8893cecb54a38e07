/** Who is asking: which OIDC issuers are believed, and what each one's tokens mean. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import { authenticate, listIssuers } from "../../events/identity.ts";
import { decide } from "../../events/policy.ts";
import { signatureAlgorithms } from "./id-token.ts";

/** An http(s) URL as the issuer itself writes it: it is compared byte for byte with `iss`. `{name}` is a variable of a template. */
const issuerUrl = v.pipe(
  v.string(),
  v.maxLength(2_048),
  v.regex(/^https?:\/\/[a-z0-9.{}_-]+(?::\d{1,5})?(?:\/[!-~]*)?$/),
);
const origin = v.pipe(v.string(), v.regex(/^https?:\/\/[a-z0-9.-]+(?::\d{1,5})?$/));
const text = v.pipe(v.string(), v.minLength(1), v.maxLength(2_048));
const domain = v.pipe(v.string(), v.maxLength(253), v.regex(/^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/));
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const lifetime = v.pipe(v.number(), v.integer(), v.minValue(60), v.maxValue(86_400));

/** One accepted issuer, or with variables in its URL all that match. */
const issuerConfig = v.strictObject({
  issuerUrl,
  /** What the token's `aud` must contain. */
  audience: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(256)), "sigstore"),
  /** The provider that says what the claims mean: one of `chancery provider list`, or of `providers`. */
  provider: v.pipe(v.string(), v.minLength(1)),
  /** The address people see, where it does not follow from the issuer's. */
  baseUrl: v.optional(v.pipe(v.string(), v.maxLength(2_048), v.regex(/^https?:\/\/[!-~]*[^/{}]$/))),
  /** For providers that bind subjects to a domain: scheme and host for `uri`, a domain for `username`. */
  subjectDomain: v.optional(text),
  /** For `spiffe`. */
  trustDomain: v.optional(domain),
  /** For `kubernetes-cluster`: what the cluster is called in names. */
  cluster: v.optional(
    v.pipe(v.string(), v.maxLength(128), v.regex(/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/)),
  ),
  /** Domains that e-mail addresses must lie in. */
  mailDomains: v.optional(v.pipe(v.array(domain), v.minLength(1), v.maxLength(256))),
  /** The issuer's addresses count as verified although its tokens do not say so. A token that denies it is refused all the same. */
  trustMail: v.optional(v.boolean(), false),
  /** For `dex`: the connectors it may speak for. */
  federates: v.optional(v.pipe(v.array(text), v.minLength(1), v.maxLength(256))),
  /** What the proof of possession signs, where it is not what the provider says. */
  challenge: v.optional(v.picklist(["email", "sub"])),
  /** Signature algorithms; none of them knows a shared secret. */
  algorithms: v.optional(v.pipe(v.array(v.picklist(signatureAlgorithms)), v.minLength(1)), [
    ...signatureAlgorithms,
  ]),
  maxLifetimeSeconds: v.optional(lifetime, 86_400),
  /** Each token is taken once, by its `jti`, which it must have then. */
  oneTime: v.optional(v.boolean(), false),
  /** The origin of `jwks_uri` where it is not the issuer's own, as with Google. */
  jwksOrigin: v.optional(origin),
  /** A key set in a file, relative to the home: nothing is fetched then. */
  jwksFile: v.optional(text),
  /** Certificates (PEM) trusted for this issuer besides the others, in a file relative to the home. */
  authorityFile: v.optional(text),
});

/** An accepted issuer with its defaults filled in. */
export type IssuerConfig = v.InferOutput<typeof issuerConfig>;

/** What an issuer has that is not said. */
export const defaultIssuer: Omit<IssuerConfig, "issuerUrl" | "provider"> = (() => {
  const {
    issuerUrl: _url,
    provider: _provider,
    ...defaults
  } = v.parse(issuerConfig, {
    issuerUrl: "https://a.example",
    provider: "email",
  });
  return defaults;
})();

export const identity = definePlugin({
  name: "identity",
  summary: "Verifies ID tokens and says whose they are",
  config: v.pipe(
    v.strictObject({
      issuers: v.optional(v.pipe(v.array(issuerConfig), v.maxLength(256)), []),
      /** Providers from outside: YAML, JSON or `.js`, relative to the home, each with the SHA-256 of its file. */
      providers: v.optional(
        v.pipe(v.array(v.strictObject({ file: text, sha256 })), v.maxLength(256)),
        [],
      ),
      /** A configuration file of Fulcio, relative to the home, whose issuers are accepted too. */
      fulcioConfig: v.optional(text),
      /** How far clocks may disagree. */
      skewSeconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(60)), 30),
    }),
    v.check(
      ({ issuers, fulcioConfig }) => issuers.length > 0 || fulcioConfig !== undefined,
      "no issuer is accepted: list one in issuers, or name a fulcioConfig",
    ),
  ),
  offers: [authenticate, listIssuers],
  needs: [decide],
  emits: [],
  follows: [],
  keeps: { tables: ["used", "expiring"], partitioned: true },
  partitions: ({ issuers }) => (issuers.some(({ oneTime }) => oneTime) ? ["tokens"] : []),
  vouchesTo: ["hsm"],
  reaches: ["internet", "disk"],
});
