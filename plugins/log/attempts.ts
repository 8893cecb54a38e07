/** Tries of what must succeed in the end. */
import { Failure } from "../../events/failure.ts";

const firstRetryMs = 50;
const lastRetryMs = 2_000;

/** What is tried again after a failure, ever more slowly. */
export class Attempts {
  readonly #failed: (failure: Failure, thrown: unknown) => void;
  #retryMs = 0;
  #lastFailure: Failure | null = null;

  /** `failed` is told of each failure. */
  constructor(failed: (failure: Failure, thrown: unknown) => void) {
    this.#failed = failed;
  }

  /** Milliseconds until the next try; 0 after success. */
  get retryMs(): number {
    return this.#retryMs;
  }

  /** Why the newest try that failed did. */
  get lastFailure(): Failure | null {
    return this.#lastFailure;
  }

  /** One try; false if it failed. */
  async perform(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.#retryMs = 0;
      return true;
    } catch (thrown) {
      const failure = Failure.from(thrown);
      this.#retryMs = Math.min(lastRetryMs, Math.max(firstRetryMs, this.#retryMs * 2));
      this.#lastFailure = failure;
      this.#failed(failure, thrown);
      return false;
    }
  }
}
