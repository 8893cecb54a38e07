/** What every driver holds a caller to: names, shapes and the bounds of `core/storage.ts`. Breaking them is a bug of the caller. */
import type { Commit, PartitionShape, Range } from "../../core/storage.ts";

const maxKeyLength = 256;
const maxValueLength = 8 * 1024 * 1024;

/** @throws {TypeError} unless the name is lower-case words with dashes, so that it can be a file's. */
export function checkPartitionName(name: string): void {
  if (!/^[a-z][a-z0-9-]{0,79}$/.test(name)) {
    throw new TypeError(`storage: "${name}" cannot name a partition`);
  }
}

/** @throws {TypeError} unless tables and streams have distinct names made of letters and digits. */
export function checkShape({ tables, streams }: PartitionShape): void {
  for (const names of [tables, streams]) {
    if (new Set(names).size !== names.length) throw new TypeError("storage: a name is given twice");
    for (const name of names) {
      if (!/^[A-Za-z][A-Za-z0-9]{0,39}$/.test(name)) {
        throw new TypeError(`storage: "${name}" cannot name a table or stream`);
      }
    }
  }
}

/** A shape as one comparable text. */
export function shapeText({ tables, streams }: PartitionShape): string {
  return JSON.stringify({ tables: tables.toSorted(), streams: streams.toSorted() });
}

/** @throws {TypeError} if the commit names what the shape lacks, or a key or value is out of bounds. */
export function checkCommit({ tables, streams }: PartitionShape, commit: Commit): void {
  for (const { table, key, value } of commit.expect ?? []) {
    checkRow(tables, table, key);
    if (value !== null) checkValue(value);
  }
  for (const { table, key, value } of commit.writes ?? []) {
    checkRow(tables, table, key);
    if (value !== null) checkValue(value);
  }
  for (const { stream, value } of commit.appends ?? []) {
    if (!streams.includes(stream)) throw new TypeError(`storage: there is no stream "${stream}"`);
    checkValue(value);
  }
}

/** @throws {TypeError} if there is no such table. */
export function checkTable(tables: readonly string[], table: string): void {
  if (!tables.includes(table)) throw new TypeError(`storage: there is no table "${table}"`);
}

/** @throws {TypeError} if the limit is not a positive whole number. */
export function checkLimit({ limit }: Pick<Range, "limit">): void {
  if (!Number.isSafeInteger(limit) || limit < 1) throw new TypeError("storage: limit below 1");
}

function checkRow(tables: readonly string[], table: string, key: Uint8Array): void {
  checkTable(tables, table);
  if (key.length < 1 || key.length > maxKeyLength) {
    throw new TypeError(`storage: a key of "${table}" is not 1 to ${maxKeyLength} bytes`);
  }
}

function checkValue(value: Uint8Array): void {
  if (value.length > maxValueLength) {
    throw new TypeError(`storage: a value is above ${maxValueLength} bytes`);
  }
}
