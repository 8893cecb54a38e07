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
import { describeKey, keyLabel, listOwnRoots } from "../../events/hsm.ts";
import {
  appendEntry,
  findLeaf,
  latestHead,
  logName,
  proveConsistency,
  proveInclusion,
  readEntries,
} from "../../events/log.ts";
import { purpose } from "./purposes.ts";
import { shardList } from "./shards.ts";

/** The plugin `ct`. */
export const ct = definePlugin({
  name: "ct",
  summary: "logs certificates and precertificates that lead to our own roots (RFC 6962)",
  config: v.strictObject({
    /** The log that keeps all entries, by default `ct`; not beside `shards`. */
    log: v.optional(logName),
    /** Several logs, each for the certificates that end within its interval. */
    shards: v.optional(shardList),
    /** Issuing keys whose chains end in the accepted roots. */
    accepts: v.optional(v.pipe(v.array(keyLabel), v.minLength(1), v.maxLength(16)), ["issuing-ca"]),
    /** A leaf must be for one of these purposes. */
    keyPurposes: v.optional(v.pipe(v.array(purpose), v.minLength(1), v.maxLength(16)), [
      "codeSigning",
    ]),
    /** RFC 6962 §3.1 leaves it open: by default certificates that have ended are logged too, which is what a log is for. */
    rejectExpired: v.optional(v.boolean(), false),
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
    listOwnRoots,
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
