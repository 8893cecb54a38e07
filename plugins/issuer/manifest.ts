/** The issuing CA, as the kernel knows it. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import { addPreChain } from "../../events/ct.ts";
import { describeKey, keyLabel, sign } from "../../events/hsm.ts";
import { authenticate } from "../../events/identity.ts";
import {
  activateIssuer,
  certificateIssued,
  certificateRefused,
  issueCertificate,
  trustBundle,
} from "../../events/issuer.ts";

/** The plugin `issuer`. */
export const issuer = definePlugin({
  name: "issuer",
  summary: "issues short-lived code-signing certificates to proven identities",
  config: v.strictObject({
    /** The issuing CA's key. */
    key: v.optional(keyLabel, "issuing-ca"),
    /** The CT log's key, or those of all its shards: an SCT that none of them signed is not embedded. */
    logKey: v.optional(
      v.union([keyLabel, v.pipe(v.array(keyLabel), v.minLength(1), v.maxLength(64))]),
      "ct-log",
    ),
    lifetimeSeconds: v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(60), v.maxValue(86_400)),
      600,
    ),
  }),
  offers: [issueCertificate, trustBundle, activateIssuer],
  needs: [authenticate, describeKey, sign, addPreChain],
  emits: [certificateIssued, certificateRefused],
  follows: [],
  keeps: {
    /**
     * `intents` and `outcomes` by serial, never changed; `open` holds the serials that have no outcome yet; `clock` the newest
     * notBefore, and which CA is in use.
     */
    tables: ["intents", "outcomes", "open", "clock"],
  },
  reaches: [],
});
