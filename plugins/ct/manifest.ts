/** Certificate transparency, as the kernel knows it. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import {
  addChain,
  addPreChain,
  getEntries,
  getEntryAndProof,
  getProofByHash,
  getRoots,
  getSth,
  getSthConsistency,
} from "../../events/ct.ts";
import { describeKey, keyLabel } from "../../events/hsm.ts";
import {
  appendEntry,
  findLeaf,
  latestHead,
  logName,
  proveConsistency,
  proveInclusion,
  readEntries,
} from "../../events/log.ts";

/** The plugin `ct`. */
export const ct = definePlugin({
  name: "ct",
  summary: "logs certificates and precertificates that lead to our own roots (RFC 6962)",
  config: v.strictObject({
    /** The log that keeps the entries. */
    log: v.optional(logName, "ct"),
    /** Issuing keys whose chains end in the accepted roots. */
    accepts: v.optional(v.pipe(v.array(keyLabel), v.minLength(1), v.maxLength(16)), ["issuing-ca"]),
  }),
  offers: [
    addChain,
    addPreChain,
    getSth,
    getSthConsistency,
    getProofByHash,
    getEntries,
    getEntryAndProof,
    getRoots,
  ],
  needs: [
    describeKey,
    appendEntry,
    readEntries,
    findLeaf,
    latestHead,
    proveInclusion,
    proveConsistency,
  ],
  emits: [],
  follows: [],
  reaches: [],
});
