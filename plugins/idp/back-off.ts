/** How long somebody must wait who guessed wrong: doubling, by account and by address, in bounded memory. */

/** Counts failures by name. */
export interface BackOff {
  /** Milliseconds until `key` may try again; 0 if it may at once. */
  readonly waitMs: (key: string) => number;
  readonly failed: (key: string) => void;
  readonly succeeded: (key: string) => void;
}

/** Mistakes that cost nothing. */
const free = 5;
const firstWaitMs = 1_000;
/** Not for ever: else whoever knows an address could keep its owner out. */
const longestWaitMs = 300_000;
const forgottenAfterMs = 3_600_000;
/** Names remembered; the one that failed longest ago is forgotten first. */
const maxKeys = 10_000;

/** `nowMs` must not run backwards. */
export function createBackOff(nowMs: () => number): BackOff {
  const failures = new Map<string, { readonly count: number; readonly atMs: number }>();
  const look = (key: string) => {
    const found = failures.get(key);
    return found === undefined || nowMs() - found.atMs > forgottenAfterMs ? null : found;
  };
  return {
    waitMs(key) {
      const found = look(key);
      if (found === null || found.count <= free) return 0;
      const wait = Math.min(firstWaitMs * 2 ** (found.count - free - 1), longestWaitMs);
      return Math.max(0, found.atMs + wait - nowMs());
    },
    failed(key) {
      const count = (look(key)?.count ?? 0) + 1;
      failures.delete(key);
      failures.set(key, { count, atMs: nowMs() });
      const [oldest] = failures.size > maxKeys ? failures.keys() : [];
      if (oldest !== undefined) failures.delete(oldest);
    },
    succeeded(key) {
      failures.delete(key);
    },
  };
}
