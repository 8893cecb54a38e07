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
  countRefusals,
  issueCertificate,
  refusalsCounted,
  trustBundle,
} from "../../events/issuer.ts";

/** The plugin `issuer`. */
export const issuer = definePlugin({
  name: "issuer",
  summary: "issues short-lived code-signing certificates to proven identities",
  config: v.strictObject({
    /** The issuing CA's key. */
    key: v.optional(keyLabel, "issuing-ca"),
    /** The CT log's key: an SCT that it did not sign is not embedded. */
    logKey: v.optional(keyLabel, "ct-log"),
    lifetimeSeconds: v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(60), v.maxValue(86_400)),
      600,
    ),
  }),
  offers: [issueCertificate, trustBundle, activateIssuer, countRefusals],
  needs: [authenticate, describeKey, sign, addPreChain],
  emits: [certificateIssued, certificateRefused, refusalsCounted],
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
