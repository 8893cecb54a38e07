/**
 * Which entries have a hash that begins like this one, in memory: 8 bytes an entry, and a little room to grow. It is made anew at each
 * start, so nothing of it can be lost. Hashes that begin alike are no proof: whoever asks compares the entries themselves.
 *
 * The first bits of a hash choose one of 4,096 lists; a list holds the 32 bits that follow, and the index, sorted. So adding one moves a
 * few kilobytes in a log of ten million, and a long list grows by an eighth when it is full: nothing is ever done for all entries at once.
 */

const listBits = 12;
/** Numbers of an item: its index and the bits of its hash, in this order, so that as 64 bits they order by the bits. */
const width = 2;
const firstCapacity = 8;
/** Below it a list grows to twice its length at once. */
const smallCapacity = 256;
/** Bytes of a hash that the index looks at. */
export const prefixLength = 6;

/** An index is kept in 32 bits. */
const maxIndex = 2 ** 32 - 1;

/** Items as pairs of numbers. */
interface List {
  items: Uint32Array<ArrayBuffer>;
  count: number;
  /** False while entries are added by the million. */
  isSorted: boolean;
}

/** See the file's comment. */
export class PrefixIndex {
  readonly #lists: (List | undefined)[] = Array.from({ length: 2 ** listBits });

  /** Adds an entry. @throws {RangeError} if its index has more than 32 bits */
  add(hash: Uint8Array, index: number): void {
    requireIndex(index);
    const list = this.#listFor(hash);
    const bits = bitsOf(hash);
    const at = list.isSorted ? firstFrom(list, bits + 1) : list.count;
    if (at < list.count) list.items.copyWithin((at + 1) * width, at * width, list.count * width);
    list.items[at * width] = index;
    list.items[at * width + 1] = bits;
    list.count++;
  }

  /** {@link add}, where many follow: whoever has added all of them says {@link sort}. */
  addUnsorted(hash: Uint8Array, index: number): void {
    requireIndex(index);
    const list = this.#listFor(hash);
    list.items[list.count * width] = index;
    list.items[list.count * width + 1] = bitsOf(hash);
    list.count++;
    list.isSorted = false;
  }

  /** Must be called before anything is found or added in order. */
  sort(): void {
    for (const list of this.#lists) {
      if (list === undefined || list.isSorted) continue;
      // The bits are the upper half of what is compared: every machine that Node runs on has the lower half first.
      new BigUint64Array(list.items.buffer, 0, list.count).sort();
      list.isSorted = true;
    }
  }

  /** Indices of all entries that may have this hash; nearly always none or one. */
  find(hash: Uint8Array): readonly number[] {
    const list = this.#lists[listOf(hash)];
    if (list === undefined) return [];
    const bits = bitsOf(hash);
    const found: number[] = [];
    for (let at = firstFrom(list, bits); at < list.count; at++) {
      if (list.items[at * width + 1] !== bits) break;
      found.push(list.items[at * width] ?? 0);
    }
    return found;
  }

  /** The list of a hash, with room for one more. */
  #listFor(hash: Uint8Array): List {
    const number = listOf(hash);
    const list = (this.#lists[number] ??= {
      items: new Uint32Array(firstCapacity * width),
      count: 0,
      isSorted: true,
    });
    const capacity = list.items.length / width;
    if (list.count === capacity) {
      const more = capacity < smallCapacity ? capacity : capacity >> 3;
      const larger = new Uint32Array((capacity + more) * width);
      larger.set(list.items);
      list.items = larger;
    }
    return list;
  }
}

/** A larger one would be kept as another. */
function requireIndex(index: number): void {
  if (index > maxIndex)
    throw new RangeError(`an index holds entries up to ${maxIndex}: roll the log`);
}

/** The first item whose bits are not below. */
function firstFrom({ items, count }: List, bits: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((items[middle * width + 1] ?? 0) < bits) low = middle + 1;
    else high = middle;
  }
  return low;
}

function listOf(hash: Uint8Array): number {
  return ((hash[0] ?? 0) << 4) | ((hash[1] ?? 0) >> 4);
}

/** The 32 bits behind the first 12. */
function bitsOf(hash: Uint8Array): number {
  const [, b = 0, c = 0, d = 0, e = 0, f = 0] = hash;
  return (((b & 15) << 28) | (c << 20) | (d << 12) | (e << 4) | (f >> 4)) >>> 0;
}
