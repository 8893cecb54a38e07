/** What a case of bad HTTP input is, and the two kinds of them. */
import type { Reply, Transport, Wish } from "./door-client.ts";
import type { Allowance } from "./outcome.ts";

/** How a case talks to the door; without `bytes` the protocol has no such thing. */
export interface Speak {
  readonly wish: Transport;
  readonly bytes?: (text: string | Uint8Array) => Promise<readonly Reply[]>;
}

/** One bad input. */
export interface Case {
  readonly id: string;
  readonly name: string;
  /** Those that are right; 0 is a connection that is closed without a word. */
  readonly statuses: readonly number[];
  readonly allowance?: Allowance;
  readonly run: (speak: Speak) => Promise<readonly Reply[]>;
}

/** A case of bytes as they are. */
export function raw(id: string, name: string, statuses: readonly number[], text: string): Case {
  return { id, name, statuses, run: async ({ bytes }) => (await bytes?.(text)) ?? [] };
}

/** A case that a library can send. */
export function wish(id: string, name: string, statuses: readonly number[], what: Wish): Case {
  return { id, name, statuses, run: async (speak) => [await speak.wish(what)] };
}
