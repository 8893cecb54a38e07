/** Who may have a certificate: the rules that an operator wrote, applied to an identity whose token has been verified. */
import * as v from "valibot";
import { hash, uint } from "./bytes.ts";
import { ask } from "./contract.ts";
import { assurance, principal } from "./identity.ts";

/** Decides whether an identity may have a certificate now. Counts as one request of that identity and of its issuer. */
export const decide = ask("policy", "decide", {
  question: v.strictObject({
    /** The type of the provider that read the token. */
    provider: v.string(),
    principal,
    /** Those of the verified token. */
    claims: v.record(v.string(), v.unknown()),
    assurance,
    atMs: uint,
  }),
  answer: v.strictObject({
    allowed: v.boolean(),
    /** Id of the rule that decided. `default` and those that begin with `default:` or `limit:` are the policy's own. */
    rule: v.string(),
    reason: v.string(),
    /** The text the operator gave the policy as its version. */
    policyVersion: v.string(),
    /** Of the policy's canonical JSON: two policies with one hash decide alike. */
    policySha256: hash,
    /** Present if it was a rate limit that refused. */
    retryAfterSeconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  }),
  failures: [],
  deadlineMs: 2_000,
});
