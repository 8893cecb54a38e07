/** Trust distribution: the TUF repository. */
import * as v from "valibot";
import { bytes } from "./bytes.ts";
import { ask } from "./contract.ts";

/** A file of the TUF repository by its path under `/tuf/`: `1.root.json`, `timestamp.json`, `targets/<sha256>.<name>`. */
export const readTrustFile = ask("trust", "readTrustFile", {
  question: v.strictObject({ path: v.pipe(v.string(), v.maxLength(200)) }),
  answer: v.strictObject({ content: bytes, immutable: v.boolean() }),
  failures: ["not-found"],
  deadlineMs: 5_000,
});
