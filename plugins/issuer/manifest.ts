/** The issuing CA, as the kernel knows it. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import { addChain, addPreChain } from "../../events/ct.ts";
import { completeCertificate, describeKey, keyLabel, sign } from "../../events/hsm.ts";
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
import { signingAlgorithms } from "./algorithms.ts";

const instant = v.pipe(
  v.string(),
  v.isoTimestamp(),
  v.transform((text) => new Date(text)),
);

/** Another CA; without bounds it issues as long as its certificate is valid. */
const beside = v.strictObject({
  key: keyLabel,
  /** From when on it issues. */
  from: v.optional(instant),
  /** When the last of its certificates must have ended. */
  until: v.optional(instant),
});

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
    /** Keys that are certified, by the names of the algorithm registry. */
    clientSigningAlgorithms: v.optional(
      v.pipe(v.array(v.picklist(signingAlgorithms)), v.minLength(1)),
      [...signingAlgorithms],
    ),
    /**
     * Where the SCT is: embedded in the certificate, or beside it (`detached`), over a certificate without one. For clients of an
     * instance that was so before; the vault must allow it too (`hsm.bareCertificates`).
     */
    scts: v.optional(v.picklist(["embedded", "detached"]), "embedded"),
    /** CAs that issue besides the one in use, as in the weeks of a rotation: each takes its turn while its window is open. */
    alongside: v.optional(v.pipe(v.array(beside), v.maxLength(8)), []),
  }),
  offers: [issueCertificate, trustBundle, activateIssuer, countRefusals],
  needs: [authenticate, describeKey, sign, completeCertificate, addPreChain, addChain],
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
