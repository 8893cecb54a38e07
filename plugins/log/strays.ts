/** What is stored that no tree of the log's size has: rows beyond its end, between others, or of an earlier release. */
import { uintFrom } from "../../core/formats/encoding.ts";
import { hashLength } from "../../core/formats/merkle.ts";
import { tileWidth } from "../../core/formats/tile.ts";
import type { Reader, Row } from "../../core/storage.ts";
import { formats, type LogFormat } from "./format.ts";
import type { LogConfig } from "./manifest.ts";
import { decodeIntent, intentKey, stretch, tables } from "./rows.ts";

const pageSize = 256;
const numberLength = 8;

/** What is looked at, and who is told. */
interface StraysQuestion {
  readonly format: LogConfig["format"];
  readonly report: (text: string) => void;
}

/** Where a row is. */
interface Stray {
  readonly table: string;
  readonly key: Uint8Array;
}

/** Reports every row of tiles and indices that is none of the log's. */
export async function checkStrays(reader: Reader, { format, report }: StraysQuestion) {
  const found: Stray[] = [];
  for await (const strays of straysIn(reader, formats[format], null)) found.push(...strays);
  for (const { table, key } of found) {
    report(`the table ${table} has a row ${key.toHex()} that belongs to no tree of the log`);
  }
}

/** Pages of rows that do not belong to a tree of `size`, or with null of the size that is decided on when they are read. */
export async function* straysIn(
  reader: Reader,
  format: LogFormat,
  size: bigint | null,
): AsyncGenerator<readonly Stray[]> {
  for (const table of [tables.leaves, tables.antispam, tables.tiles]) {
    let from: Uint8Array | undefined;
    for (let isMore = true; isMore;) {
      const rows = await reader.scan(table, { limit: pageSize, ...(from && { from }) });
      // After the rows: a running log has decided on everything that it has stored.
      const now = size ?? (await sizeNow(reader));
      yield rows.flatMap((row) =>
        isOwn(table, row, format, now) ? [] : [{ table, key: row.key }],
      );
      const last = rows.at(-1);
      isMore = rows.length === pageSize;
      if (last) from = Uint8Array.from([...last.key, 0]);
    }
  }
}

async function sizeNow(reader: Reader): Promise<bigint> {
  const row = await reader.get(tables.state, intentKey);
  return row === null ? 0n : decodeIntent(row).size;
}

function isOwn(table: string, { key, value }: Row, format: LogFormat, size: bigint): boolean {
  switch (table) {
    case tables.antispam:
      if (format.identityIsLeafHash || key.length !== numberLength) return false;
      return isWithin(uintFrom(key), BigInt(stretch), size);
    case tables.tiles: {
      if (key.length !== 1 + numberLength) return false;
      const [level = 0] = key;
      const inRow = value.length / (tileWidth * hashLength);
      if (inRow !== (level === 0 ? 2 : 1)) return false;
      // Whatever level a damaged key says: no number is too large for this.
      const width = BigInt(tileWidth) ** BigInt(level + 1);
      return isWithin(uintFrom(key.subarray(1)) * width, width * BigInt(inRow), size);
    }
    default:
      return false;
  }
}

/** True if so many entries from the first on are there, and rows of so many may begin with it. */
function isWithin(first: bigint, count: bigint, size: bigint): boolean {
  return first % count === 0n && first + count <= size;
}
