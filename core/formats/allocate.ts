/**
 * Arrays for bytes that are made by the thousand. V8 keeps arrays of up to 64 bytes among its other objects; each larger one is a
 * piece of C memory of its own, which costs more to get and to give back, on other threads too, than most of what is done with it. So
 * those of moderate size are cut one after the other from larger pieces, no octet of which is given twice: an array is its owner's alone.
 * Its `buffer` is not.
 */

/** Up to here V8 needs no C memory. */
const inHeapBytes = 64;
/** One that somebody keeps keeps its whole slab, so slabs are small. */
const slabBytes = 32 * 1024;
/** Larger ones are their own piece: they would leave too much of a slab unused. */
export const largestCut = 4 * 1024;

/** The slab that is cut now, and how much of it is gone. It is no state that anybody could see. */
let slab = new Uint8Array(slabBytes);
let used = 0;

/** An array; whoever takes it writes every octet. */
export function allocate(length: number): Uint8Array {
  if (length <= inHeapBytes || length > largestCut) return new Uint8Array(length);
  return cut(length);
}

/** What `write` puts into an array of at most `atMost` bytes, no more than {@link largestCut}: it says how many it used. */
export function allocateFor(atMost: number, write: (into: Uint8Array) => number): Uint8Array {
  if (used + atMost > slabBytes) next();
  const from = used;
  const length = write(slab.subarray(from, from + atMost));
  used = from + length;
  return slab.subarray(from, used);
}

function cut(length: number): Uint8Array {
  if (used + length > slabBytes) next();
  const from = used;
  used += length;
  return slab.subarray(from, used);
}

function next(): void {
  slab = new Uint8Array(slabBytes);
  used = 0;
}
