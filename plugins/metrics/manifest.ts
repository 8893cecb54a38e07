/** Metrics, as the kernel knows them. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";

/** The plugin `metrics`. */
export const metrics = definePlugin({
  name: "metrics",
  summary: "shows what every room counts, to Prometheus, on a listener of its own",
  config: v.strictObject({
    /** Addresses of the listener. */
    addresses: v.optional(v.pipe(v.array(v.string()), v.minLength(1)), ["127.0.0.1", "::1"]),
    /** Absent means that there is none. */
    port: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535))),
  }),
  offers: [],
  needs: [],
  emits: [],
  follows: [],
  measures: true,
  reaches: ["listen"],
});
