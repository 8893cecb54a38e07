/** Search over the entries of every log. The index is derived from the logs and says up to where it goes. */
import * as v from "valibot";
import { hash, uint } from "./bytes.ts";
import { ask } from "./contract.ts";
import { logName } from "./log.ts";

/** What can be looked for; `extension.N` is Fulcio's certificate extension 1.3.6.1.4.1.57264.1.N. */
const searchField = v.pipe(
  v.string(),
  v.regex(
    /^(?:digest|key|certificate|san|email|issuer|kind|extension\.(?:[1-689]|1[0-9]|2[0-4]))$/,
  ),
);

/** One thing that every hit has. `*` in a value stands for any text, where the field is kept as text. */
const condition = v.strictObject({
  field: searchField,
  value: v.pipe(v.string(), v.minLength(1), v.maxLength(1_024)),
});

/** What hits are chosen by. */
const searchFilter = v.strictObject({
  /** All must hold. */
  conditions: v.pipe(v.array(condition), v.maxLength(32)),
  /** Only entries of this log. */
  log: v.optional(logName),
  /** Logged at this time or later, milliseconds since the epoch. */
  sinceMs: v.optional(uint),
  /** Logged before this time. */
  untilMs: v.optional(uint),
});

const place = v.strictObject({ log: logName, index: uint });

/** The signer of an entry, or the subject of a logged certificate. */
const signer = v.strictObject({
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  key: v.optional(v.string()),
  /** SHA-256 of the certificate, hex. */
  certificate: v.optional(v.string()),
  sans: v.array(
    v.strictObject({
      kind: v.picklist(["email", "uri", "otherName", "dns", "ip"]),
      value: v.string(),
    }),
  ),
  /** By arc number. */
  extensions: v.record(v.string(), v.string()),
});

/** An entry that was found, as the log has it: every hit is read there before it is told. */
const hit = v.strictObject({
  ...place.entries,
  leafHash: hash,
  /** Rekor v1: tree id and leaf hash. */
  entryId: v.optional(v.string()),
  /** Index over all shards of a Rekor v1; else the same as `index`. */
  logIndex: uint,
  integratedAtMs: uint,
  kind: v.string(),
  digests: v.array(v.strictObject({ of: v.string(), algorithm: v.string(), value: v.string() })),
  signers: v.array(signer),
  /** True if the entry has more names or signers than are told here. */
  shortened: v.boolean(),
  /** In the tree of the head that `heads` has for the log. */
  inclusionProof: v.optional(v.array(hash)),
});

/** A {@link hit}. */
export type SearchHit = v.InferOutput<typeof hit>;

/** How far the index of a log goes. */
const extent = v.strictObject({
  log: logName,
  /** Entries 0 to here are in the index. */
  indexed: uint,
  /** The log's published size. */
  size: uint,
});

/** A page of hits. It may hold fewer than `limit`, even none, and there is more as long as it has a cursor. */
export const searchEntries = ask("search", "searchEntries", {
  question: v.strictObject({
    ...searchFilter.entries,
    order: v.picklist(["newest", "oldest"]),
    limit: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(100)),
    cursor: v.optional(v.pipe(v.string(), v.maxLength(4_096))),
    proof: v.boolean(),
    /** Fields whose values are counted over all that the filter finds. */
    facets: v.pipe(v.array(searchField), v.maxLength(16)),
  }),
  answer: v.strictObject({
    hits: v.array(hit),
    cursor: v.optional(v.string()),
    extents: v.array(extent),
    /** With `proof`: the heads that the proofs lead to. */
    heads: v.array(
      v.strictObject({ log: logName, size: uint, root: hash, checkpoint: v.string() }),
    ),
    /** With `facets`: how many entries the filter finds, and the commonest values. */
    counted: v.optional(
      v.strictObject({
        total: uint,
        /** False if there are more than are counted at once. */
        exact: v.boolean(),
        facets: v.record(v.string(), v.array(v.strictObject({ value: v.string(), count: uint }))),
      }),
    ),
  }),
  failures: ["malformed", "not-found", "log-unavailable"],
  deadlineMs: 10_000,
});

/** Ids of the newest Rekor v1 entries that any, or every one, of these is true of. */
export const retrieveIndex = ask("search", "retrieveIndex", {
  question: v.strictObject({
    email: v.optional(v.pipe(v.string(), v.maxLength(1_024))),
    /** Any name in a certificate, whatever its case. */
    subject: v.optional(v.pipe(v.string(), v.maxLength(1_024))),
    /** `sha256:` or the like, and hex. */
    digest: v.optional(v.pipe(v.string(), v.maxLength(256))),
    /** What verifies: SHA-256 of a certificate, or of the SubjectPublicKeyInfo of a key that comes alone; hex. */
    certificate: v.optional(v.string()),
    bareKey: v.optional(v.string()),
    operator: v.picklist(["and", "or"]),
  }),
  answer: v.strictObject({ entryIds: v.array(v.string()) }),
  failures: ["malformed", "log-unavailable"],
  deadlineMs: 10_000,
});

/** An operator's: throws the index away and makes it anew from the logs, in the background. */
export const rebuildIndex = ask("search", "rebuildIndex", {
  question: v.strictObject({}),
  answer: v.strictObject({}),
  failures: ["access-denied"],
  deadlineMs: 30_000,
});
