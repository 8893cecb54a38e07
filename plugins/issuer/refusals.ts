/**
 * Refusals of those who did not show who they are: counted by reason, issuer, network and second (core/tally.ts), so whoever sends
 * garbage, however much, costs one commit a second and not one a request. What was counted in the last second before a kill is lost;
 * nothing that anybody was given is.
 */
import type { Clock } from "../../core/clock.ts";
import { emit } from "../../core/plugin.ts";
import { createTally } from "../../core/tally.ts";
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

const maxReasonLength = 256;
const unknownNetwork = "unknown";
const everything = "*";

/** Counts into facts of `store`. */
export function countRefusalsIn(store: IssuerStore, clock: Clock): RefusalCounts {
  const tally = createTally<Omit<RefusalCount, "count" | "secondMs">>({
    clock,
    // Beyond what is told apart, issuer and network are `*`.
    rest: ({ code }) => ({
      code,
      reason: "too many kinds to tell apart",
      network: everything,
      oidcIssuer: everything,
    }),
    write: async (counted) => {
      const refusals = counted.map(({ kind, secondMs, count }) => ({ ...kind, secondMs, count }));
      await store.commit({ facts: [emit(refusalsCounted, { refusals })] });
    },
  });
  return {
    count({ code, reason, oidcIssuer, network = unknownNetwork, ...how }) {
      const what = { code, reason: reason.slice(0, maxReasonLength).toWellFormed(), network };
      tally.count({ ...what, ...(oidcIssuer !== undefined && { oidcIssuer }) }, how);
    },
    [Symbol.asyncDispose]: async () => await tally[Symbol.asyncDispose](),
  };
}
