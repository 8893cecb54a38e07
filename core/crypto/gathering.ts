/** Verifications that come together, shared out to other threads; those that come alone cost less on this one. */

/** The two ways to decide. */
export interface Ways<Claim> {
  /** Decides at once, about one. */
  readonly here: (claim: Claim) => boolean;
  /** Decides on another thread, in their order. Rejects if the thread cannot do it, which says nothing about the claims. */
  readonly elsewhere: (claims: readonly Claim[]) => Promise<readonly boolean[]>;
}

/** Handing fewer than these to another thread costs as much as verifying them. */
const worthAThread = 4;
/** More are shared out, so that the first do not wait for the last. */
const mostTogether = 16;

/** Collects the claims of one turn of the event loop, and has them decided the way that costs least. */
export function gathering<Claim>(ways: Ways<Claim>): (claim: Claim) => Promise<boolean> {
  let waiting: Waiting<Claim>[] = [];
  const decide = (): void => {
    const all = waiting;
    waiting = [];
    for (let from = 0; from < all.length; from += mostTogether) {
      const some = all.slice(from, from + mostTogether);
      if (some.length < worthAThread) decideHere(some, ways);
      else void decideElsewhere(some, ways);
    }
  };
  // No asynchronous function: each would be kept as long as its claim waits.
  return (claim) =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) setImmediate(decide);
      waiting.push({ claim, resolve, reject });
    });
}

interface Waiting<Claim> {
  readonly claim: Claim;
  readonly resolve: (isGood: boolean) => void;
  readonly reject: (thrown: unknown) => void;
}

function decideHere<Claim>(waiting: readonly Waiting<Claim>[], { here }: Ways<Claim>): void {
  for (const { claim, resolve, reject } of waiting) {
    try {
      resolve(here(claim));
    } catch (thrown) {
      reject(thrown);
    }
  }
}

async function decideElsewhere<Claim>(
  waiting: readonly Waiting<Claim>[],
  ways: Ways<Claim>,
): Promise<void> {
  try {
    const areGood = await ways.elsewhere(waiting.map(({ claim }) => claim));
    for (const [at, { resolve }] of waiting.entries()) resolve(areGood[at] === true);
  } catch {
    // The thread did not do it, which is no word about the signatures.
    decideHere(waiting, ways);
  }
}
