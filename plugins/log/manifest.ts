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
  retireLog,
  rollLog,
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
  /** Rekor: the log it takes over from once that one is frozen, which its index over all shards goes on from. */
  after: v.optional(logName),
});

/** One configured log. */
export type LogConfig = v.InferOutput<typeof one>;

/** A log that takes over comes after the one it takes over from, is of its format, and is the only one. */
function areInOrder(logs: LogConfig[]): boolean {
  return logs.every(({ name, format, after, firstIndex }, at) => {
    if (after === undefined) return true;
    const before = logs.slice(0, at).find((log) => log.name === after);
    const isOnly = !logs.some((log) => log.name !== name && log.after === after);
    return isOnly && before?.format === format && format !== "rfc6962" && firstIndex === undefined;
  });
}

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
      v.check(
        areInOrder,
        "a log that takes over follows one Rekor log of its format, alone, and has no index of its own",
      ),
    ),
    /** How fast what is stored is read again and held against the trees. */
    scrub: v.optional(
      v.strictObject({
        /** Over all logs together; 0 for not at all. */
        entriesPerSecond: v.optional(
          v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000_000)),
          256,
        ),
      }),
      {},
    ),
    /** With less than this left on the home's disk, in bytes, nothing new is taken; by default a twentieth of it, at most 1 GiB. */
    reserveBytes: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
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
    rollLog,
    retireLog,
  ],
  needs: [sign, describeKey, lastSigned],
  emits: [entriesAppended],
  follows: [],
  keeps: { tables: Object.values(tables), partitioned: true, largeValues: true },
  partitions: ({ logs }) => logs.map(({ name }) => name),
  reaches: ["disk"],
});

/** What the plugin is given. */
export type LogContext = Parameters<Parameters<typeof log.implement>[0]>[0];
