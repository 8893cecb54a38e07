/** What a request holds from its admission on: one object, and one listener to the end of its response. */
import type { Deadline } from "../../core/deadlines.ts";
import type { Admitted } from "./admission.ts";

/** A request between the end of its header and the end of its response. */
export class Entered implements Disposable {
  readonly #admitted: Admitted;
  #upload: Deadline | null = null;

  constructor(admitted: Admitted) {
    this.#admitted = admitted;
  }

  /** Takes what refuses an upload that takes too long. */
  upload(deadline: Deadline): void {
    this.#upload = deadline;
  }

  /** All of it is here; see {@link Admitted}. */
  async turn(): Promise<boolean> {
    this.#uploaded();
    return await this.#admitted.turn();
  }

  [Symbol.dispose](): void {
    this.#uploaded();
    this.#admitted[Symbol.dispose]();
  }

  #uploaded(): void {
    this.#upload?.cancel();
    this.#upload = null;
  }
}
