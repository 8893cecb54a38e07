/**
 * Refusals of those who did not show who they are: counted by reason, issuer, network and second in bounded memory, and written by one
 * loop, all of a second in one commit. So whoever sends garbage, however much, costs one commit a second and not one a request. What
 * was counted in the last second before a kill is lost; nothing that anybody was given is.
 */
import type { Clock } from "../../core/clock.ts";
import { emit } from "../../core/plugin.ts";
import { type RefusalCount, refusalsCounted } from "../../events/issuer.ts";
import type { IssuerStore } from "./records.ts";

/** A refusal, or several of one kind. */
export interface Counted {
  readonly code: string;
  readonly reason: string;
  readonly oidcIssuer?: string | undefined;
  readonly network?: string | undefined;
  readonly count?: number;
  /** The second it was in, if that is not now. */
  readonly secondMs?: bigint;
}

/** Counts refusals. Disposing it writes what has not been written yet. */
export interface RefusalCounts extends AsyncDisposable {
  count(refusal: Counted): void;
}

/** Kinds told apart within a second; beyond, issuer and network are `*`. */
const maxKinds = 512;
const maxReasonLength = 256;
const unknownNetwork = "unknown";
const everything = "*";

/** Counts into facts of `store`. */
export function countRefusalsIn(store: IssuerStore, clock: Clock): RefusalCounts {
  let counts = new Map<string, RefusalCount>();
  let writing: Promise<unknown> = Promise.resolve();
  let isWriting = false;

  const add = (kind: Omit<RefusalCount, "count">, count: number): boolean => {
    const key = JSON.stringify([
      kind.code,
      kind.reason,
      kind.oidcIssuer,
      kind.network,
      Number(kind.secondMs),
    ]);
    const known = counts.get(key);
    if (known === undefined && counts.size >= maxKinds && kind.network !== everything) return false;
    counts.set(key, { ...kind, count: (known?.count ?? 0) + count });
    return true;
  };
  /** Whole seconds only, so that a second has one row a kind; all there is at the end. */
  const write = async (untilMs: bigint): Promise<void> => {
    const due = [...counts].filter(([, { secondMs }]) => secondMs < untilMs);
    if (due.length === 0) return;
    counts = new Map([...counts].filter(([, { secondMs }]) => secondMs >= untilMs));
    await store.commit({ facts: [emit(refusalsCounted, { refusals: due.map(([, one]) => one) })] });
  };
  const timer = setInterval(() => {
    if (isWriting) return;
    isWriting = true;
    // A commit that fails has ended the process's trust in its store; the kernel sees to that.
    writing = write(secondOf(clock))
      .catch(() => undefined)
      .finally(() => (isWriting = false));
  }, 1_000);
  timer.unref();

  return {
    count({ code, reason, oidcIssuer, network = unknownNetwork, count = 1, ...at }) {
      const { secondMs = secondOf(clock) } = at;
      const what = { code, reason: reason.slice(0, maxReasonLength).toWellFormed(), secondMs };
      const kind = { ...what, network, ...(oidcIssuer !== undefined && { oidcIssuer }) };
      if (add(kind, count)) return;
      add(
        {
          ...what,
          reason: "too many kinds to tell apart",
          oidcIssuer: everything,
          network: everything,
        },
        count,
      );
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
