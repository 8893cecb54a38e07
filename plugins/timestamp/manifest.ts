/** The timestamp authority: its key, what it accepts, and how far it believes its clock. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import { describeKey, keyLabel, sign } from "../../events/hsm.ts";
import { createTimestamp, timestampChain } from "../../events/timestamp.ts";

const milliseconds = (least: number, most: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));

/** Where the right time is asked for, over SNTP (RFC 5905 §14). */
const timeSources = v.strictObject({
  /** Host names or addresses, with a port unless it is 123. */
  servers: v.pipe(
    v.array(v.pipe(v.string(), v.regex(/^[A-Za-z0-9.-]+(?::\d{1,5})?$/))),
    v.minLength(1),
    v.maxLength(8),
  ),
  /** How far a source may be from our clock. */
  maxOffsetMs: v.optional(milliseconds(1, 5_000), 500),
  everyMs: v.optional(milliseconds(100, 3_600_000), 60_000),
  /** How long the last answer counts once no source answers. */
  graceMs: v.optional(milliseconds(0, 86_400_000), 600_000),
});

export const timestamp = definePlugin({
  name: "timestamp",
  summary: "Stamps digests with the time (RFC 3161)",
  config: v.strictObject({
    /** The authority's key in the vault; absent means that this installation has no timestamp authority. */
    key: v.optional(keyLabel),
    /** True puts the certificates above the authority's own into tokens that ask for certificates. */
    includeChain: v.optional(v.boolean(), false),
    /** How far the wall clock may move against the machine's steady one before no time is told. */
    maxStepMs: v.optional(milliseconds(1, 1_000), 100),
    /** How long it must be back within that before time is told again. */
    settleMs: v.optional(milliseconds(0, 3_600_000), 10_000),
    ntp: v.optional(timeSources),
  }),
  offers: [createTimestamp, timestampChain],
  needs: [sign, describeKey],
  emits: [],
  follows: [],
  // The vault signs no time before the last: two authorities would refuse each other.
  single: true,
  reaches: ["disk", "internet"],
});

/** What the plugin is given. */
export type TimestampContext = Parameters<Parameters<typeof timestamp.implement>[0]>[0];
/** Where the right time is asked for. */
export type TimeSourcesConfig = v.InferOutput<typeof timeSources>;
