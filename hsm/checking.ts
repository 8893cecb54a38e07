/**
 * Holds signatures against a pinned key before they leave. Those that were made in one turn are decided about together, on another
 * thread where that is worth it, while the next ones are being made.
 */
import type { ManyVerifier, PinnedVerifier } from "../core/crypto/pinned-verify.ts";

/** When so many wait they are decided about at once, so that the first of a large batch do not wait for the last. */
const enoughTogether = 32;

/** A signature that is not known to be good yet. */
export interface Unchecked {
  readonly message: Uint8Array;
  /** Of the message, by the hash of the key's scheme. */
  readonly digest: Uint8Array;
  readonly signature: Uint8Array;
}

interface Waiting {
  readonly group: readonly Unchecked[];
  readonly resolve: (areGood: readonly boolean[]) => void;
}

/** Checks signatures of one key. */
export class Checker {
  readonly #verifier: PinnedVerifier;
  #waiting: Waiting[] = [];
  #count = 0;

  constructor(verifier: PinnedVerifier) {
    this.#verifier = verifier;
  }

  /** Decides about a group, together with others of this turn; answers in its order. Never rejects. */
  async check(group: readonly Unchecked[]): Promise<readonly boolean[]> {
    return await new Promise((resolve) => {
      // Microtasks run when whoever signs lets go of the thread.
      if (this.#count === 0) queueMicrotask(() => this.#decide());
      this.#waiting.push({ group, resolve });
      this.#count += group.length;
      if (this.#count >= enoughTogether) this.#decide();
    });
  }

  #decide(): void {
    const waiting = this.#waiting;
    const count = this.#count;
    this.#waiting = [];
    this.#count = 0;
    const { many } = this.#verifier;
    if (many !== null && count >= many.worthwhile) void this.#elsewhere(waiting, many);
    else this.#here(waiting);
  }

  #here(waiting: readonly Waiting[]): void {
    for (const { group, resolve } of waiting) {
      resolve(
        group.map(({ message, signature, digest }) =>
          this.#verifier.verify(message, signature, digest),
        ),
      );
    }
  }

  async #elsewhere(waiting: readonly Waiting[], many: ManyVerifier): Promise<void> {
    const all = waiting.flatMap(({ group }) => group);
    try {
      const answers = await many.verify(
        all.map(({ digest }) => digest),
        all.map(({ signature }) => signature),
      );
      let from = 0;
      for (const { group, resolve } of waiting) {
        resolve(answers.slice(from, from + group.length));
        from += group.length;
      }
    } catch {
      // The thread did not do it, which is no word about the signatures.
      this.#here(waiting);
    }
  }
}
