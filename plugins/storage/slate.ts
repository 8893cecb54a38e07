/**
 * Shared memory in which one partition's commits go to the thread that writes, and what became of them comes back. It is used by one side
 * at a time, by turns: a queue has one group on its way, and the word that says whose turn it is is set last.
 *
 *     words   0: whose turn it is   1: words of the layout, or bytes of a failure's text
 *     group   layout: per commit  nExpect nWrites nAppends,
 *                     per row     table, key end, value end or -1 for null      (positions behind the layout, each starting where the
 *                     per append  stream, value end                              last ended)
 *             and then all bytes
 *     answer  float64s: bytes of the write-ahead log; per commit 0 and the sequence numbers of its appends, or 1 + the position of the
 *             expectation that failed
 */
import type { Commit, PartitionShape } from "../../core/storage.ts";

/** What became of each commit of a group, in order, or why the outcome of all is unknown. */
export type GroupOutcome =
  | { readonly outcomes: readonly CommitOutcome[]; readonly walBytes: number }
  | { readonly unknown: string };

/** Sequence numbers of the appends, or the position of the expectation that failed. */
export type CommitOutcome =
  { readonly sequences: readonly number[] } | { readonly conflict: number };

/** A row as the writing thread sees it. */
interface SlateRow {
  readonly table: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** A commit as the writing thread sees it. */
export interface SlateCommit {
  readonly expect: readonly SlateRow[];
  readonly writes: readonly SlateRow[];
  readonly appends: readonly { readonly stream: number; readonly value: Uint8Array }[];
}

const turn = { nobody: 0, thread: 1, answered: 2, failed: 3 } as const;
const headerBytes = 8;
/** The size of the write-ahead log: all else in an answer is shorter than the layout it answers. */
const answerHeaderBytes = 8;
const leastBytes = 64 * 1024;

/** Bytes that a commit takes at most. */
export function slateBytes({ expect = [], writes = [], appends = [] }: Commit): number {
  let bytes = 12 + 12 * (expect.length + writes.length) + 8 * appends.length;
  for (const { key, value } of expect) bytes += key.length + (value?.length ?? 0);
  for (const { key, value } of writes) bytes += key.length + (value?.length ?? 0);
  for (const { value } of appends) bytes += value.length;
  return bytes;
}

/** One side's view of the memory. */
export class Slate {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  /** Memory for commits of so many {@link slateBytes} together, and often more. */
  static for(bytes: number): Slate {
    let size = leastBytes;
    while (size < headerBytes + answerHeaderBytes + bytes) size *= 2;
    return new Slate(new SharedArrayBuffer(size));
  }

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
    this.#bytes = new Uint8Array(memory);
  }

  /** True if commits of so many bytes have room. */
  holds(bytes: number): boolean {
    return headerBytes + answerHeaderBytes + bytes <= this.memory.byteLength;
  }

  /** Copies all bytes once, now: what the caller does with its own afterwards does not matter. */
  put({ tables, streams }: PartitionShape, commits: readonly Commit[]): void {
    const words = this.#words;
    let next = headerBytes / 4;
    let at = headerBytes + 4 * layoutWords(commits);
    const put = (part: Uint8Array) => {
      this.#bytes.set(part, at);
      at += part.length;
      words[next++] = at;
    };
    for (const { expect = [], writes = [], appends = [] } of commits) {
      words[next++] = expect.length;
      words[next++] = writes.length;
      words[next++] = appends.length;
      for (const rows of [expect, writes]) {
        for (const { table, key, value } of rows) {
          words[next++] = tables.indexOf(table);
          put(key);
          if (value === null) words[next++] = -1;
          else put(value);
        }
      }
      for (const { stream, value } of appends) {
        words[next++] = streams.indexOf(stream);
        put(value);
      }
    }
    words[1] = next - headerBytes / 4;
    Atomics.store(words, 0, turn.thread);
  }

  /** True if there is a group to write. */
  get isPut(): boolean {
    return Atomics.load(this.#words, 0) === turn.thread;
  }

  /** The commits that were put. */
  *commits(): Generator<SlateCommit> {
    const words = this.#words;
    let next = headerBytes / 4;
    const end = next + (words[1] ?? 0);
    let at = 4 * end;
    const number = () => words[next++] ?? 0;
    const take = () => {
      const from = at;
      at = number();
      return this.#bytes.subarray(from, at);
    };
    const row = (): SlateRow => {
      const table = number();
      const key = take();
      if (words[next] !== -1) return { table, key, value: take() };
      next++;
      return { table, key, value: null };
    };
    while (next < end) {
      const [nExpect, nWrites, nAppends] = [number(), number(), number()];
      yield {
        expect: Array.from({ length: nExpect }, row),
        writes: Array.from({ length: nWrites }, row),
        appends: Array.from({ length: nAppends }, () => ({ stream: number(), value: take() })),
      };
    }
  }

  /** Says what became of the commits, in their place. */
  answer(outcome: GroupOutcome): void {
    if ("unknown" in outcome) {
      const text = new TextEncoder().encode(outcome.unknown);
      const room = this.#bytes.subarray(headerBytes);
      const length = Math.min(text.length, room.length);
      room.set(text.subarray(0, length));
      this.#words[1] = length;
      Atomics.store(this.#words, 0, turn.failed);
      return;
    }
    const numbers = new Float64Array(this.memory, headerBytes);
    let next = 0;
    numbers[next++] = outcome.walBytes;
    for (const done of outcome.outcomes) {
      if ("conflict" in done) {
        numbers[next++] = 1 + done.conflict;
        continue;
      }
      numbers[next++] = 0;
      for (const sequence of done.sequences) numbers[next++] = sequence;
    }
    Atomics.store(this.#words, 0, turn.answered);
  }

  /** What was answered to these commits, which are those that were put; null as long as they are on their way. */
  takeOutcome(commits: readonly Commit[]): GroupOutcome | null {
    const state = Atomics.load(this.#words, 0);
    if (state !== turn.answered && state !== turn.failed) return null;
    Atomics.store(this.#words, 0, turn.nobody);
    if (state === turn.failed) {
      // A copy: what decodes text does not take shared memory.
      const text = this.#bytes.slice(headerBytes, headerBytes + (this.#words[1] ?? 0));
      return { unknown: new TextDecoder().decode(text) };
    }
    const numbers = new Float64Array(this.memory, headerBytes);
    let next = 0;
    const number = () => numbers[next++] ?? 0;
    const walBytes = number();
    const outcomes = commits.map(({ appends = [] }): CommitOutcome => {
      const failed = number();
      return failed > 0 ? { conflict: failed - 1 } : { sequences: appends.map(number) };
    });
    return { outcomes, walBytes };
  }
}

function layoutWords(commits: readonly Commit[]): number {
  let words = 0;
  for (const { expect = [], writes = [], appends = [] } of commits) {
    words += 3 + 3 * (expect.length + writes.length) + 2 * appends.length;
  }
  return words;
}
