/** The policy: who may have a certificate, and how often. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import { decide } from "../../events/policy.ts";
import { policyEntries } from "./document.ts";

const path = v.pipe(v.string(), v.regex(/^[\w-][\w.-]*(?:\/[\w-][\w.-]*)*$/));
const rate = v.strictObject({
  requestsPerSecond: v.pipe(v.number(), v.minValue(0.001), v.maxValue(1_000_000)),
  /** How many may come at once after a pause. */
  burst: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000_000)),
});

/** Certificates asked for with genuine tokens. */
const limits = v.strictObject({
  /** Of one subject of one issuer. */
  perIdentity: v.optional(rate, { requestsPerSecond: 1_000, burst: 10_000 }),
  /** Of all subjects of one issuer together; absent means no limit. */
  perIssuer: v.optional(rate),
  /** After a start the limits rise from a tenth to all in this time. */
  slowStartSeconds: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(3_600)), 30),
});

/** The limits, defaults filled in. */
export type LimitsConfig = v.InferOutput<typeof limits>;

export const policy = definePlugin({
  name: "policy",
  summary: "decides who may have a certificate, by the operator's rules",
  config: v.pipe(
    v.strictObject({
      /** A YAML file below the home with the whole policy; it is read again when it changes. Else the policy is in this section. */
      file: v.optional(path),
      limits: v.optional(limits, {}),
      ...policyEntries,
      default: v.optional(policyEntries.default.wrapped),
    }),
    v.check(
      ({ file, default: otherwise, rules, issuers }) =>
        file === undefined ||
        (otherwise === undefined && rules.length === 0 && Object.keys(issuers).length === 0),
      "the policy is either in a file or in the section",
    ),
    v.check(
      ({ default: otherwise, rules, issuers }) =>
        otherwise !== undefined || (rules.length === 0 && Object.keys(issuers).length === 0),
      `a policy says what holds where no rule applies: "default: deny" or "default: allow"`,
    ),
  ),
  offers: [decide],
  needs: [],
  emits: [],
  follows: [],
  reaches: ["disk"],
});
