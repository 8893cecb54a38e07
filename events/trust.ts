/** Trust distribution: the TUF repository. */
import * as v from "valibot";
import { bytes, bytesUpTo } from "./bytes.ts";
import { ask } from "./contract.ts";

/** A file of the TUF repository by its path under `/tuf/`: `1.root.json`, `timestamp.json`, `targets/<sha256>.<name>`. */
export const readTrustFile = ask("trust", "readTrustFile", {
  question: v.strictObject({ path: v.pipe(v.string(), v.maxLength(200)) }),
  answer: v.strictObject({ content: bytes, immutable: v.boolean() }),
  failures: ["not-found"],
  deadlineMs: 5_000,
});

/**
 * An operator's: takes the next version of the targets, signed at a ceremony, verifies it with every file it names, keeps it durably
 * and signs snapshot and timestamp anew. Answers when clients get it. The version that is current again is no error.
 */
export const publishTargets = ask("trust", "publishTargets", {
  question: v.strictObject({
    /** The signed metadata file. */
    targets: bytesUpTo(1_048_576),
    /** Target files by name; those that the version before it named need not come again. */
    files: v.pipe(
      v.array(
        v.strictObject({
          name: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/)),
          content: bytesUpTo(1_048_576),
        }),
      ),
      v.maxLength(32),
    ),
  }),
  answer: v.strictObject({
    targets: v.number(),
    snapshot: v.number(),
    timestamp: v.number(),
  }),
  failures: ["access-denied", "operation-refused", "key-unavailable", "guard-refused"],
  deadlineMs: 30_000,
});

/**
 * An operator's: takes the next version of the root, which the thresholds of the root before it and of itself have signed at a ceremony
 * (TUF 1.0.31 §5.3), and which the targets and the keys for snapshot and timestamp of this installation still satisfy. Answers when
 * clients get it. The root that is current again is no error.
 */
export const publishRoot = ask("trust", "publishRoot", {
  /** The signed metadata file; more than clients take is refused. */
  question: v.strictObject({ root: bytesUpTo(512_000) }),
  answer: v.strictObject({ root: v.number(), snapshot: v.number(), timestamp: v.number() }),
  failures: ["access-denied", "operation-refused", "key-unavailable", "guard-refused"],
  deadlineMs: 30_000,
});
