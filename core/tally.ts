/**
 * What happens often and is written down by kind and second: counted in bounded memory, and written by one loop, all of a second at
 * once. So whoever makes much of it happen costs one commit a second and not one each time. What was counted in the last second
 * before a kill is lost.
 */
import type { Clock } from "./clock.ts";

/** What of one kind happened within one second. */
export interface Tallied<Kind> {
  readonly kind: Kind;
  /** The second, in ms. */
  readonly secondMs: bigint;
  readonly count: number;
}

/** Counts. Disposing it writes what has not been written yet. */
export interface Tally<Kind> extends AsyncDisposable {
  /** Once and now, unless said otherwise. Kinds are the same if their JSON is. */
  count(kind: Kind, how?: { readonly count?: number; readonly secondMs?: bigint }): void;
}

/** What {@link createTally} needs. */
export interface TallyParts<Kind> {
  readonly clock: Clock;
  /** What stands for a kind beyond those that are told apart: there must be few of these. */
  readonly rest: (kind: Kind) => Kind;
  readonly write: (counted: readonly Tallied<Kind>[]) => Promise<unknown>;
}

/** Kinds told apart within a second. */
const maxKinds = 512;
const everyMs = 1_000;

/** Begins to count. */
export function createTally<Kind extends object>(parts: TallyParts<Kind>): Tally<Kind> {
  const { clock, rest } = parts;
  let counts = new Map<string, Tallied<Kind>>();
  let writing: Promise<unknown> = Promise.resolve();
  let isWriting = false;

  /** Whole seconds only, so that a second has one row a kind; all there is at the end. */
  const write = async (untilMs: bigint): Promise<void> => {
    const due = [...counts].filter(([, { secondMs }]) => secondMs < untilMs);
    if (due.length === 0) return;
    counts = new Map([...counts].filter(([, { secondMs }]) => secondMs >= untilMs));
    await parts.write(due.map(([, one]) => one));
  };
  const timer = setInterval(() => {
    if (isWriting) return;
    isWriting = true;
    // A commit that fails has ended the process's trust in its store; the kernel sees to that.
    writing = write(secondOf(clock))
      .catch(() => undefined)
      .finally(() => (isWriting = false));
  }, everyMs);
  timer.unref();

  return {
    count(told, { count = 1, secondMs = secondOf(clock) } = {}) {
      const keyOf = (kind: Kind) => JSON.stringify([kind, Number(secondMs)]);
      const isApart = counts.size < maxKinds || counts.has(keyOf(told));
      const kind = isApart ? told : rest(told);
      const key = keyOf(kind);
      counts.set(key, { kind, secondMs, count: (counts.get(key)?.count ?? 0) + count });
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await writing;
      await write(secondOf(clock) + 1n);
    },
  };
}

function secondOf(clock: Clock): bigint {
  return BigInt(Math.floor(clock.now().getTime() / 1_000)) * 1_000n;
}
