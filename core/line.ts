/** One plugin's own connection to the messaging server: all that the bus needs to know of NATS. */

/** A message that arrived. */
export interface Received {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Where an answer goes; empty if none is wanted. */
  readonly reply: string;
  /** True if the server says that nobody subscribes to what was asked. */
  readonly nobodyAnswers: boolean;
}

/** A connection that comes back by itself after every interruption, with its subscriptions. */
export interface Line extends AsyncDisposable {
  /** The plugin whose nkey it uses. */
  readonly name: string;
  connected(): boolean;
  /** Most bytes in one message. */
  maxBytes(): number;
  publish(subject: string, data: Uint8Array, reply?: string): void;
  /** Subscribes, in a queue group if one is named. The result ends it once what has arrived is handled. */
  subscribe(
    subject: string,
    group: string | undefined,
    listener: (message: Received) => void,
  ): () => Promise<void>;
  /** Calls `listener` with a subject on which the server refused to take a message. */
  onRefused(listener: (subject: string) => void): void;
  /** Calls `listener` after each reconnection. */
  onBack(listener: () => void): void;
  /** Resolves once the server has taken everything sent so far. */
  flush(): Promise<void>;
}
