/** The indices read backwards: every row must lead to an entry, and that entry must be its own. */
import { equalBytes, uintFrom } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import type { Reader } from "../../core/storage.ts";
import { formats, tableOfIdentity } from "./format.ts";
import type { LogConfig } from "./manifest.ts";
import { decodeEntryRow, intentKey, decodeIntent, numberKey, tables } from "./rows.ts";
import { identityOfStored } from "./state.ts";

const pageSize = 512;

/** What is looked at, and who is told. */
interface StraysQuestion {
  readonly format: LogConfig["format"];
  /** Entries that were decided on when the check began; the rows of newer ones are a running log's. */
  readonly size: bigint;
  readonly report: (text: string) => void;
}

/** Checks every row of the indices. */
export async function checkStrays(reader: Reader, question: StraysQuestion): Promise<void> {
  const { format, size, report } = question;
  for (const table of new Set([tables.leaves, tableOfIdentity(formats[format])])) {
    let from = new Uint8Array();
    let rows = 0n;
    for (let isMore = true; isMore;) {
      const page = await reader.scan(table, { limit: pageSize, ...(from.length > 0 && { from }) });
      for (const { key, value } of page) {
        const index = uintFrom(value);
        if (index < size) rows++;
        else if (index >= (await sizeNow(reader)))
          report(`the index ${table} leads to entry ${index}, which is not there`);
        if (index < size && !(await isOwn(reader, { table, key, index, format }))) {
          report(`the index ${table} leads to entry ${index} from another one`);
        }
      }
      const [last] = page.slice(-1);
      isMore = page.length === pageSize;
      if (last) from = Uint8Array.from([...last.key, 0]);
    }
    if (rows !== size) report(`the index ${table} has ${rows} rows for ${size} entries`);
  }
}

async function sizeNow(reader: Reader): Promise<bigint> {
  const row = await reader.get(tables.state, intentKey);
  return row === null ? 0n : decodeIntent(row).size;
}

async function isOwn(
  reader: Reader,
  at: {
    readonly table: string;
    readonly key: Uint8Array;
    readonly index: bigint;
    readonly format: LogConfig["format"];
  },
): Promise<boolean> {
  const { table, key, index, format } = at;
  const row = await reader.get(tables.entries, numberKey(index));
  if (row === null) return false;
  try {
    const entry = { index, ...decodeEntryRow(row) };
    const leaf = leafHash(entry.entry);
    const own = table === tables.leaves ? leaf : identityOfStored(formats[format], entry, leaf);
    return equalBytes(own, key);
  } catch (thrown) {
    if (thrown instanceof Malformed) return false;
    throw thrown;
  }
}
