/**
 * How many requests are begun in one turn of the event loop. Those that come together would otherwise be worked on in one go: while
 * that lasts nothing that has been answered meanwhile, by a disk or the vault, is looked at, they and the thread work by turns, and
 * nobody sees how many more have come.
 */

/** Slices of the event loop's time. */
export interface Slices {
  /** Resolves when there is time to begin. First come, first served. */
  begin(): Promise<void>;
}

/** Work of one turn, at most: about what disk and vault need for one batch. */
const sliceMs = 8;
/** What one request costs until some have been looked at, and how slowly that follows what is seen. */
const firstGuessMs = 1;
const inertia = 0.8;
const mostAtATurn = 64;

/** `nextTurn` calls back once the event loop has looked at everything else. */
export function createSlices(
  nowMs: () => number,
  nextTurn: (turn: () => void) => void = (turn) => void setImmediate(turn),
): Slices {
  const waiting: (() => void)[] = [];
  let eachMs = firstGuessMs;
  let begun = 0;
  let sinceMs: number | null = null;

  const open = (): void => {
    sinceMs = nowMs();
    begun = 0;
    nextTurn(close);
  };
  const hasTime = (): boolean =>
    begun < Math.min(mostAtATurn, Math.max(1, Math.floor(sliceMs / eachMs)));
  const close = (): void => {
    const spentMs = nowMs() - (sinceMs ?? nowMs());
    if (begun > 0) eachMs = inertia * eachMs + (1 - inertia) * (spentMs / begun);
    sinceMs = null;
    if (waiting.length === 0) return;
    open();
    while (waiting.length > 0 && hasTime()) {
      begun++;
      waiting.shift()?.();
    }
  };
  return {
    async begin() {
      if (sinceMs === null) open();
      if (waiting.length > 0 || !hasTime()) {
        await new Promise<void>((resolve) => waiting.push(resolve));
        return;
      }
      begun++;
    },
  };
}
