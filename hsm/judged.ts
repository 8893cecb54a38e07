/**
 * Precertificates that were judged a moment ago, by the hash of what their certificates must come back with. It only spares work: what
 * it has forgotten is judged from the beginning, and nothing is signed that the guard does not admit.
 */
import type { Binding } from "./ledger-rows.ts";

/** What was found out about a precertificate. */
export interface JudgedPrecertificate {
  /** SHA-256 of the sealed verdict. */
  readonly verdict: Uint8Array;
  /** Its seal, which was verified. */
  readonly mac: Uint8Array;
  readonly verifiedAtMs: bigint;
  readonly notBefore: Date;
  readonly binding: Omit<Extract<Binding, { kind: "precertificate" | "certificate" }>, "kind">;
}

/** More than are ever under way at once: some hundred bytes each. */
const most = 2_048;

/** The newest precertificates of one key. */
export class Judged {
  readonly #byCore = new Map<string, JudgedPrecertificate>();

  /** True if there is nothing to be found. */
  get isEmpty(): boolean {
    return this.#byCore.size === 0;
  }

  /** Remembers one, and forgets the oldest if there are too many. `core` is the SHA-256 of its TBSCertificate without poison. */
  keep(core: Uint8Array, judged: JudgedPrecertificate): void {
    for (const oldest of this.#byCore.keys()) {
      if (this.#byCore.size < most) break;
      this.#byCore.delete(oldest);
    }
    this.#byCore.set(nameOf(core), judged);
  }

  /** Gives one and forgets it: a precertificate has one certificate. */
  take(core: Uint8Array): JudgedPrecertificate | null {
    const name = nameOf(core);
    const found = this.#byCore.get(name) ?? null;
    this.#byCore.delete(name);
    return found;
  }
}

function nameOf(core: Uint8Array): string {
  return Buffer.from(core.buffer, core.byteOffset, core.length).toString("latin1");
}
