/** How often each of many may come: the generic cell rate algorithm in bounded memory, with a slow start. */

/** What one may do. */
export interface RateLimit {
  readonly perSecond: number;
  /** How many may come at once after a pause. */
  readonly burst: number;
}

/** What is left to somebody. */
export interface Quota {
  /** How many may come at this moment. */
  readonly remaining: number;
  /** Until all of the burst may come again. */
  readonly resetMs: number;
}

/** Counts what comes, by who it comes from. */
export interface Meter {
  /** Null if one may come now, else the milliseconds until then. Counts nothing. */
  earlyMs(who: string): number | null;
  count(who: string): void;
  quota(who: string): Quota;
}

/** Those remembered; the one seen longest ago is forgotten first, and starts afresh. */
const maxRemembered = 100_000;
/** What a slow start begins with. */
const firstShare = 0.1;

/**
 * The share of every limit that holds now: a tenth at the start, all after `rampMs`. Whoever was kept waiting by a restart does not
 * come back all at once then. `nowMs` must not run backwards.
 */
export function slowStart(rampMs: number, nowMs: () => number): () => number {
  const startedAtMs = nowMs();
  return () => {
    const ageMs = nowMs() - startedAtMs;
    if (ageMs >= rampMs) return 1;
    return firstShare + (1 - firstShare) * (ageMs / rampMs);
  };
}

/** `nowMs` must not run backwards; `share` of the limit holds at the moment. */
export function createMeter(
  { perSecond, burst }: RateLimit,
  nowMs: () => number,
  share: () => number = () => 1,
): Meter {
  /** When the burst of somebody is whole again; a `Map` keeps the order of insertion, so the first is the oldest. */
  const wholeAt = new Map<string, number>();
  const aheadMs = (who: string) => Math.max(0, (wholeAt.get(who) ?? 0) - nowMs());
  const stepMs = () => 1_000 / (perSecond * share());
  const roomMs = () => Math.max(1, burst * share()) * stepMs();
  return {
    earlyMs(who) {
      const overMs = aheadMs(who) + stepMs() - roomMs();
      // What time itself rounds off is no reason to refuse.
      return overMs > 1e-6 ? overMs : null;
    },
    count(who) {
      const next = nowMs() + aheadMs(who) + stepMs();
      wholeAt.delete(who);
      wholeAt.set(who, next);
      const [oldest] = wholeAt.size > maxRemembered ? wholeAt.keys() : [];
      if (oldest !== undefined) wholeAt.delete(oldest);
    },
    quota(who) {
      const resetMs = aheadMs(who);
      const remaining = Math.max(0, Math.floor((roomMs() - resetMs) / stepMs() + 1e-6));
      return { remaining, resetMs };
    },
  };
}
