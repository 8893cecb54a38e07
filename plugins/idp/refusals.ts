/**
 * Sign-ins that came to nothing, on record: counted by reason, account, network and second (core/tally.ts), so whoever guesses, however
 * often, costs one commit a second. What is counted here is no secret: reasons are of a closed set, and names those of accounts that exist.
 */
import type { Clock } from "../../core/clock.ts";
import { networkOf } from "../../core/formats/network.ts";
import { emit, type Store } from "../../core/plugin.ts";
import { createTally } from "../../core/tally.ts";
import type { FailureCode } from "../../events/failure.ts";
import { type idTokenIssued, signInsRefused } from "../../events/idp.ts";

/** The sign-in's own store. */
export type IdpStore = Store<readonly [typeof idTokenIssued, typeof signInsRefused]>;

/** A sign-in that came to nothing. */
export interface RefusedSignIn {
  readonly code: FailureCode;
  /** A sentence of ours, with nothing in it that a stranger chose. */
  readonly reason: string;
  /** The address of an account that exists. */
  readonly account?: string | undefined;
  /** Whose request it was; or its network, if that is all that is known. */
  readonly from: { readonly address: string } | { readonly network: string };
}

/** Takes refusals down. Disposing it writes what has not been written yet. */
export interface SignInRefusals extends AsyncDisposable {
  readonly count: (refused: RefusedSignIn) => void;
}

const maxReasonLength = 256;
const everything = "*";

/** Counts into facts of `store`. */
export function countSignInsIn(
  store: IdpStore,
  { clock, oidcIssuer }: { readonly clock: Clock; readonly oidcIssuer: string },
): SignInRefusals {
  const tally = createTally<{ code: string; reason: string; account?: string; network: string }>({
    clock,
    rest: ({ code }) => ({ code, reason: "too many kinds to tell apart", network: everything }),
    write: async (counted) => {
      const refusals = counted.map(({ kind, secondMs, count }) => ({
        ...kind,
        oidcIssuer,
        secondMs,
        count,
      }));
      await store.commit({ facts: [emit(signInsRefused, { refusals })] });
    },
  });
  return {
    count({ code, reason, account, from }) {
      tally.count({
        code,
        reason: reason.slice(0, maxReasonLength),
        ...(account !== undefined && { account }),
        network: "network" in from ? from.network : networkOf(from.address),
      });
    },
    [Symbol.asyncDispose]: async () => await tally[Symbol.asyncDispose](),
  };
}
