/** The Rekor service, v1 and v2: it holds typed entries against their signatures and puts their canonical form into a log. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import { describeKey, keyLabel } from "../../events/hsm.ts";
import {
  appendEntry,
  findLeaf,
  latestHead,
  listLogs,
  logName,
  proveConsistency,
  proveInclusion,
  readEntries,
} from "../../events/log.ts";
import { createEntry, createEntryV2, describeLog, getEntry, proveLog } from "../../events/rekor.ts";

const largestTreeId = 2n ** 63n - 1n;

const treeId = v.pipe(
  v.string(),
  v.regex(/^[1-9]\d{0,18}$/),
  v.check((id) => BigInt(id) <= largestTreeId, "expected a tree id below 2^63"),
);

/** Earlier trees, oldest first: frozen, and read for ever. */
const shards = v.pipe(
  v.array(v.strictObject({ log: logName, key: keyLabel, treeId })),
  v.maxLength(256),
  v.check((all) => areDifferent(all.map(({ log }) => log)), "two shards are one log"),
  v.check((all) => areDifferent(all.map((one) => one.treeId)), "two shards have one tree id"),
);

export const rekor = definePlugin({
  name: "rekor",
  summary: "Logs signatures of artifacts and attestations (Rekor v1 and v2)",
  config: v.strictObject({
    /** The log that takes the entries, of format `rekor-v1`, unless another has taken over from it. */
    log: v.optional(logName, "rekor"),
    /** That log's key in the vault. */
    key: v.optional(keyLabel, "rekor-v1-log"),
    /** The log's tree id, decimal, as in the origin of its checkpoints. */
    treeId,
    shards: v.optional(shards, []),
    /** Rekor v2; absent means that there is none. */
    v2: v.optional(
      v.strictObject({
        /** The log that takes its entries, of format `rekor-v2`, unless another has taken over from it. */
        log: v.optional(logName, "rekor-v2"),
        /** How a `dsseRequestV002` is logged; `dsse` only for fleets of verifiers from before 2026-06. */
        dsse: v.optional(v.picklist(["hashedrekord", "dsse"]), "hashedrekord"),
      }),
    ),
  }),
  offers: [createEntry, createEntryV2, getEntry, describeLog, proveLog],
  needs: [
    appendEntry,
    findLeaf,
    latestHead,
    listLogs,
    proveConsistency,
    proveInclusion,
    readEntries,
    describeKey,
  ],
  emits: [],
  follows: [],
  reaches: [],
});

/** What the plugin is given. */
export type RekorContext = Parameters<Parameters<typeof rekor.implement>[0]>[0];

function areDifferent(names: readonly string[]): boolean {
  return new Set(names).size === names.length;
}
