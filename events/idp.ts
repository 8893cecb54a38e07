/** The embedded OpenID provider: demo accounts only, for trying the system and for small sites without an IdP. */
import * as v from "valibot";
import { hash, uint } from "./bytes.ts";
import { ask, fact } from "./contract.ts";

/** The grant type of `POST /oidc/token`, which the provider advertises and the door takes. */
export const demoGrant = "urn:chancery:params:oauth:grant-type:demo";

/** The discovery document and key set, as JSON text (OpenID Connect Discovery 1.0, RFC 7517). */
export const describeProvider = ask("idp", "describeProvider", {
  question: v.strictObject({}),
  answer: v.strictObject({ discovery: v.string(), jwks: v.string() }),
  failures: ["key-unavailable"],
  deadlineMs: 5_000,
});

/** An ID token for a demo account. Whoever holds the home's admin secret may be anybody. */
export const issueDemoToken = ask("idp", "issueDemoToken", {
  question: v.strictObject({
    /** The content of the home's admin secret file. */
    adminSecret: v.pipe(v.string(), v.maxLength(256)),
    email: v.pipe(v.string(), v.maxLength(320)),
    audience: v.pipe(v.string(), v.maxLength(256)),
    /** Where the request came from, for the record of a refusal. */
    network: v.optional(v.pipe(v.string(), v.maxLength(64))),
  }),
  answer: v.strictObject({ idToken: v.string() }),
  failures: ["access-denied", "policy-refused", "key-unavailable"],
  deadlineMs: 10_000,
});

/** Somebody signed in and an ID token was signed for it. On record before anybody is given the token. */
export const idTokenIssued = fact(
  "idp",
  "idTokenIssued",
  v.strictObject({
    /** SHA-256 of the token, by which a certificate's record is found. */
    tokenDigest: hash,
    oidcIssuer: v.string(),
    subject: v.string(),
    email: v.optional(v.string()),
    audience: v.string(),
    /** By whose word: an account of this home, the holder of its admin secret, or another OpenID provider. */
    by: v.picklist(["account", "admin-secret", "upstream"]),
    /** That other provider. */
    upstream: v.optional(v.string()),
    issuedAtMs: uint,
  }),
);

/** Sign-ins of one kind within one second that came to nothing. Nobody was authenticated, so nothing in it is anybody's word. */
export const signInRefusal = v.strictObject({
  /** The failure code. */
  code: v.string(),
  reason: v.pipe(v.string(), v.maxLength(256)),
  oidcIssuer: v.string(),
  /** Of an account that exists: what was typed as a name may be a password by mistake. */
  account: v.optional(v.pipe(v.string(), v.maxLength(320))),
  network: v.pipe(v.string(), v.maxLength(64)),
  /** The second, in ms. */
  secondMs: uint,
  count: v.pipe(v.number(), v.integer(), v.minValue(1)),
});

/** Sign-ins were refused. One row a reason, account, network and second, however many they were. */
export const signInsRefused = fact(
  "idp",
  "signInsRefused",
  v.strictObject({ refusals: v.array(signInRefusal) }),
);
