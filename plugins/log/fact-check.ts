/** What a log tells its followers, held against what is in it: every batch of entries once, one after the other. */
import * as v from "valibot";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Reader } from "../../core/storage.ts";
import { entriesAppended } from "../../events/log.ts";

/** Reads name and body of a fact as the kernel stores it. @throws {Malformed} */
export type ReadFact = (value: Uint8Array) => unknown;

/** Against what, and who is told. */
interface FactQuestion {
  readonly log: string;
  /** Entries that must have been told of. */
  readonly size: bigint;
  /** Null if only gaps between facts are to be seen. */
  readonly readFact: ReadFact | null;
  readonly report: (text: string) => void;
}

const pageSize = 512;
const batchOf = v.object({
  name: v.literal(entriesAppended.name),
  body: v.strictObject({ log: v.string(), from: v.bigint(), to: v.bigint() }),
});

/** Checks the whole stream. Facts beyond `size` belong to a running log. */
export async function checkFacts(reader: Reader, question: FactQuestion): Promise<void> {
  const { log, size, readFact, report } = question;
  let told = 0n;
  for (let after = 0n; ;) {
    const records = await reader.read("facts", after, pageSize);
    for (const { sequence, value } of records) {
      if (sequence !== after + 1n) report(`fact ${after + 1n} is missing from the stream`);
      after = sequence;
      if (readFact === null) continue;
      const batch = batchIn(value, readFact);
      if (batch === null) report(`fact ${sequence} is malformed`);
      else if (batch.log !== log || batch.from !== told || batch.to <= told) {
        report(`fact ${sequence} does not tell of the entries from ${told} on`);
      }
      told = batch?.to ?? told;
    }
    if (records.length < pageSize) break;
  }
  if (readFact !== null && told < size) report(`no fact tells of the entries from ${told} on`);
}

/** Null if it is not what it must be. */
function batchIn(
  value: Uint8Array,
  readFact: ReadFact,
): v.InferOutput<typeof batchOf>["body"] | null {
  try {
    return v.parse(batchOf, readFact(value)).body;
  } catch (thrown) {
    if (thrown instanceof Malformed || thrown instanceof v.ValiError) return null;
    throw thrown;
  }
}
