/** What the log room is: its configuration, its asks and what it keeps. */
import * as v from "valibot";
import { describeKey, keyLabel, lastSigned, sign } from "../../events/hsm.ts";
import {
  appendEntry,
  entriesAppended,
  findLeaf,
  freezeLog,
  latestHead,
  listLogs,
  logName,
  proveConsistency,
  proveInclusion,
  readEntries,
  readTile,
} from "../../events/log.ts";
import { definePlugin } from "../../core/plugin.ts";
import { tables } from "./rows.ts";

const one = v.strictObject({
  name: logName,
  /** What is logged and promised: RFC 6962 with SCTs, Rekor v1 with signed entry timestamps, Rekor v2 without a promise. */
  format: v.picklist(["rfc6962", "rekor-v1", "rekor-v2"]),
  key: keyLabel,
  /** Rekor v1: the tree's number, decimal, which is part of its entries' ids. */
  treeId: v.optional(v.pipe(v.string(), v.regex(/^[1-9][0-9]{0,18}$/))),
  /** Rekor v1: index of its first entry over all shards, decimal: the sizes of the shards before it, together. */
  firstIndex: v.optional(v.pipe(v.string(), v.regex(/^(?:0|[1-9][0-9]{0,17})$/))),
});

/** One configured log. */
export type LogConfig = v.InferOutput<typeof one>;

/** Every transparency log of the installation. */
export const log = definePlugin({
  name: "log",
  summary: "Keeps the transparency logs: appends, promises, publishes, proves",
  config: v.strictObject({
    logs: v.pipe(
      v.array(one),
      v.check(
        (logs) => new Set(logs.map(({ name }) => name)).size === logs.length,
        "two logs have one name",
      ),
      v.check(
        (logs) => new Set(logs.map(({ key }) => key)).size === logs.length,
        "two logs have one key",
      ),
    ),
  }),
  offers: [
    appendEntry,
    readEntries,
    findLeaf,
    latestHead,
    listLogs,
    proveInclusion,
    proveConsistency,
    readTile,
    freezeLog,
  ],
  needs: [sign, describeKey, lastSigned],
  emits: [entriesAppended],
  follows: [],
  keeps: { tables: Object.values(tables), partitioned: true },
  partitions: ({ logs }) => logs.map(({ name }) => name),
  reaches: [],
});
