/** The answer of `GET /api/search`, and the names of its parameters. */
import * as v from "valibot";

const hex = v.pipe(v.string(), v.regex(/^[0-9a-f]+$/));
const number = v.pipe(v.number(), v.integer(), v.minValue(0));
const name = v.strictObject({
  kind: v.picklist(["email", "uri", "otherName", "dns", "ip"]),
  value: v.string(),
});

const hit = v.strictObject({
  log: v.string(),
  /** In its log, and over all shards of a Rekor v1. */
  index: number,
  logIndex: number,
  /** Rekor v1: what `/api/v1/log/entries/` takes. */
  entryId: v.optional(hex),
  leafHash: hex,
  integratedTime: v.string(),
  kind: v.string(),
  digests: v.array(v.strictObject({ of: v.string(), algorithm: v.string(), value: hex })),
  signers: v.array(
    v.strictObject({
      key: v.optional(hex),
      certificate: v.optional(hex),
      sans: v.array(name),
      extensions: v.record(v.string(), v.string()),
    }),
  ),
  shortened: v.optional(v.literal(true)),
  /** Against the head of its log in `heads`. */
  inclusionProof: v.optional(v.array(hex)),
});

/** A page. */
export const searchResponse = v.strictObject({
  hits: v.array(hit),
  /** Present as long as there is more, even if there are no hits on this page. */
  cursor: v.optional(v.string()),
  /** The index has entries 0 to `indexed` of each log. */
  logs: v.array(v.strictObject({ log: v.string(), indexed: number, size: number })),
  heads: v.array(
    v.strictObject({
      log: v.string(),
      treeSize: number,
      rootHash: hex,
      checkpoint: v.string(),
    }),
  ),
  counted: v.optional(
    v.strictObject({
      total: number,
      exact: v.boolean(),
      facets: v.record(v.string(), v.array(v.strictObject({ value: v.string(), count: number }))),
    }),
  ),
});

/** Fields that can be looked for, as parameters. */
export const searchFields: readonly string[] = [
  "digest",
  "key",
  "certificate",
  "san",
  "email",
  "issuer",
  "kind",
  ...Array.from({ length: 24 }, (_, at) => at + 1)
    .filter((arc) => arc !== 7)
    .map((arc) => `extension.${arc}`),
];

/** Every parameter. */
export const searchParameters: readonly string[] = [
  ...searchFields,
  "log",
  "since",
  "until",
  "order",
  "limit",
  "cursor",
  "proof",
  "facets",
];
