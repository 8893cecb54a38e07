/** The embedded OpenID provider: demo accounts only, for trying the system and for small sites without an IdP. */
import * as v from "valibot";
import { ask } from "./contract.ts";

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
  }),
  answer: v.strictObject({ idToken: v.string() }),
  failures: ["access-denied", "key-unavailable"],
  deadlineMs: 10_000,
});
