/** The parts of a home that belong to no plugin: `instance.json`, and the reserved sections of `config.yaml`. */
import * as v from "valibot";

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));

/** What genesis fixed for ever. */
export const instance = v.strictObject({
  version: v.literal(1),
  id: v.pipe(v.string(), v.uuid()),
  origin: v.pipe(v.string(), v.url()),
  port,
  tlsPort: port,
  natsPort: port,
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  /** Rekor v1's tree id. */
  treeId: v.pipe(v.string(), v.regex(/^[1-9][0-9]{0,19}$/)),
  /** Storage that releases after the first have introduced and that this home has: from then on it must be there. */
  stores: v.optional(v.array(v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]*$/)))),
});

/** An {@link instance}. */
export type Instance = v.InferOutput<typeof instance>;

/** The process of each plugin that does not run where it does by default. */
export const placement = v.record(
  v.pipe(v.string(), v.regex(/^[a-z]{1,32}$/)),
  v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,31}$/)),
);

/** What the outbound client may reach besides the internet, and whom it trusts. */
export const outbound = v.strictObject({
  /** Host names that may have private addresses, as a corporate identity provider does. */
  privateHosts: v.optional(v.array(v.string()), []),
  /** Files of certificates (PEM) trusted besides the system's, relative to the home. */
  authorityFiles: v.optional(v.array(v.string()), []),
});
