/**
 * Tiles, c2sp.org/tlog-tiles v1.0.0: 256 hashes of one level or 256 entries under a path of their own; the last of a level may be
 * partial, and is a prefix of what it becomes.
 *
 *     tile/<level>/<index>[.p/<width>]        hashes, 32 bytes each
 *     tile/entries/<index>[.p/<width>]        entries, each: opaque entry<0..2^16-1>
 */
import { concat, uintBytes } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** Hashes or entries in a full tile. */
export const tileWidth = 256;

/** Bytes of the largest entry an entry bundle can hold. */
export const maxEntryLength = 0xffff;

/** A tile's place. */
export interface TileAt {
  /** `entries` for an entry bundle, else 0 to 63. */
  readonly level: "entries" | number;
  readonly index: bigint;
  /** 1 to 256; 256 is a full tile. */
  readonly width: number;
}

const maxLevel = 63;

/** @throws {Malformed} if there is no such tile. */
export function formatTilePath({ level, index, width }: TileAt): string {
  if (level !== "entries" && (!Number.isInteger(level) || level < 0 || level > maxLevel)) {
    throw new Malformed("tile: level");
  }
  if (index < 0n || index >= 2n ** 63n) throw new Malformed("tile: index");
  if (!Number.isInteger(width) || width < 1 || width > tileWidth)
    throw new Malformed("tile: width");
  const partial = width === tileWidth ? "" : `.p/${width}`;
  return `tile/${level}/${formatIndex(index)}${partial}`;
}

/** @throws {Malformed} unless formatting the result gives back exactly `path`. */
export function parseTilePath(path: string): TileAt {
  const match =
    /^tile\/(entries|0|[1-9][0-9]?)\/((?:x[0-9]{3}\/){0,6}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/.exec(
      path,
    );
  const [, level = "", index = "", width] = match ?? [];
  if (match === null) throw new Malformed("tile: path");
  const tile: TileAt = {
    level: level === "entries" ? level : Number(level),
    index: BigInt(index.replaceAll(/[x/]/g, "")),
    width: width === undefined ? tileWidth : Number(width),
  };
  if (formatTilePath(tile) !== path) throw new Malformed("tile: path is not canonical");
  return tile;
}

/** @throws {Malformed} if an entry is larger than {@link maxEntryLength}. */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  return concat(...entries.flatMap((entry) => [uintBytes(entry.length, 2), entry]));
}

/** @throws {Malformed} unless the bytes are 1 to 256 whole entries. */
export function decodeEntryBundle(bundle: Uint8Array): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let at = 0;
  while (at < bundle.length) {
    const high = bundle[at];
    const low = bundle[at + 1];
    if (high === undefined || low === undefined) throw new Malformed("entry bundle: cut short");
    const end = at + 2 + high * 256 + low;
    if (end > bundle.length) throw new Malformed("entry bundle: cut short");
    entries.push(bundle.subarray(at + 2, end));
    at = end;
  }
  if (entries.length < 1 || entries.length > tileWidth) {
    throw new Malformed("entry bundle: number of entries");
  }
  return entries;
}

/** 1234067 is `x001/x234/067`. */
function formatIndex(index: bigint): string {
  const digits = index.toString();
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g) ?? [];
  return groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join("/");
}
