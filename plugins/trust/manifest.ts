/** The TUF repository: what was signed at ceremonies is served, and the two short-lived roles are kept fresh. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import { describeKey, keyLabel, sign } from "../../events/hsm.ts";
import { publishRoot, publishTargets, readTrustFile } from "../../events/trust.ts";

const daySeconds = 86_400;

const seconds = (least: number, most: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));

export const trust = definePlugin({
  name: "trust",
  summary: "Serves the TUF repository and keeps its timestamp fresh",
  config: v.strictObject({
    /** Where ceremonies leave root, targets and target files, below the home. */
    directory: v.optional(
      v.pipe(v.string(), v.regex(/^[a-z0-9-]+(?:\/[a-z0-9-]+)*$/)),
      "trust/tuf",
    ),
    /** The vault's keys for the two roles. */
    snapshotKey: v.optional(keyLabel, "tuf-snapshot"),
    timestampKey: v.optional(keyLabel, "tuf-timestamp"),
    /** How long a new signature is good for; it is renewed when half of that is over. */
    snapshotLifetimeSeconds: v.optional(seconds(120, 3_650 * daySeconds), 30 * daySeconds),
    timestampLifetimeSeconds: v.optional(seconds(120, 365 * daySeconds), 7 * daySeconds),
    /** How often to look whether something is due, and to try again what failed. */
    checkSeconds: v.optional(seconds(1, 3_600), 60),
  }),
  offers: [readTrustFile, publishTargets, publishRoot],
  needs: [sign, describeKey],
  emits: [],
  follows: [],
  keeps: { tables: ["files", "versions"], patient: true },
  reaches: ["disk"],
});

/** What the plugin is given. */
export type TrustContext = Parameters<Parameters<typeof trust.implement>[0]>[0];
