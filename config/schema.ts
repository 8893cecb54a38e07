/** The parts of a home that belong to no plugin: `instance.json`, and the reserved sections of `config.yaml`. */
import * as v from "valibot";

/** A TCP port. */
export const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));

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

const filePath = v.pipe(v.string(), v.minLength(1));

/** Where the truth is kept. Files are relative to the home. */
export const storage = v.variant("driver", [
  /** Files below `data/`. */
  v.strictObject({ driver: v.literal("sqlite") }),
  /** A database of a PostgreSQL server, 15 or newer. */
  v.strictObject({
    driver: v.literal("postgresql"),
    /** Hosts or folders of sockets: the primary, and whatever may be promoted. */
    servers: v.pipe(
      v.array(v.strictObject({ host: filePath, port: v.optional(port, 5432) })),
      v.minLength(1),
      v.maxLength(8),
    ),
    database: v.pipe(v.string(), v.minLength(1), v.maxLength(63)),
    user: v.pipe(v.string(), v.minLength(1), v.maxLength(63)),
    /** Holds the password and nothing else, mode 0600; without it the server must know us by other means. */
    passwordFile: v.optional(filePath),
    /** Certificates (PEM) that the server's must verify with. Without it the connection is not encrypted, which is for one machine. */
    authorityFile: v.optional(filePath),
    /** Refuse to run without a synchronous standby. */
    requiresStandby: v.optional(v.boolean(), false),
  }),
]);

/** A {@link storage}. */
export type StorageConfig = v.InferOutput<typeof storage>;

/** What the outbound client may reach besides the internet, and whom it trusts. */
export const outbound = v.strictObject({
  /** Host names that may have private addresses, as a corporate identity provider does. */
  privateHosts: v.optional(v.array(v.string()), []),
  /** Files of certificates (PEM) trusted besides the system's, relative to the home. */
  authorityFiles: v.optional(v.array(v.string()), []),
});
