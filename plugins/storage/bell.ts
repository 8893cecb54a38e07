/**
 * What wakes a thread that writes. It has nothing to do but wait, so it waits in shared memory, without an event loop: to be rung costs the
 * caller a third of a message, and nothing at all while the thread is at work. The way back is a message, because the caller has an event
 * loop; one is enough for all that was answered until it is read.
 */
const [ringsAt, owedAt] = [0, 1];

/** One side's view of the bell. */
export class Bell {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(memory = new SharedArrayBuffer(8)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** Wakes the thread: what was put down or sent before this call is found by it. */
  ring(): void {
    Atomics.add(this.#words, ringsAt, 1);
    Atomics.notify(this.#words, ringsAt);
  }

  /** How often it has been rung. */
  get rings(): number {
    return Atomics.load(this.#words, ringsAt);
  }

  /** Waits until it has been rung more often than that. */
  waitAfter(rings: number): void {
    Atomics.wait(this.#words, ringsAt, rings);
  }

  /** Called by the thread when it has answered: true if the other side must be told, false if a message is under way. */
  owe(): boolean {
    return Atomics.exchange(this.#words, owedAt, 1) === 0;
  }

  /** Called by the other side when it was told, before it looks for answers. */
  told(): void {
    Atomics.store(this.#words, owedAt, 0);
  }
}
