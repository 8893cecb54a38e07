/**
 * Requests that a client sends without waiting for answers (RFC 9112 §9.3.2). When too much of what we answered waits to go out, Node
 * pauses the connection and its parser; what TLS had decrypted by then is put to the parser all the same, which reports it as an error
 * and forgets it. Here it is kept and put to the parser again, in its order, once that goes on: no byte of a connection may be left
 * out, or the next would be taken for the beginning of a request.
 */
import type { Duplex } from "node:stream";

/** Takes back what parsers were given while they were paused. */
export interface Pipelining {
  /** True if the error is that, and dealt with: what the parser was given comes to it again. */
  takes(error: Error, socket: Duplex): boolean;
}

/** What Node's HTTP server says of such an error. */
interface PausedError extends Error {
  readonly code?: string;
  readonly rawPacket?: Uint8Array;
}

/** For the connections of one server. */
export function createPipelining(): Pipelining {
  const kept = new WeakMap<Duplex, Uint8Array[]>();
  const putAgain = (socket: Duplex): void => {
    const packets = kept.get(socket) ?? [];
    kept.delete(socket);
    // Paused again on the way, the parser reports the rest, which is kept in the same order.
    for (const packet of packets) socket.emit("data", packet);
  };
  return {
    takes(error: PausedError, socket) {
      const { code, rawPacket } = error;
      if (code !== "HPE_PAUSED" || rawPacket === undefined) return false;
      // A copy: the memory is the connection's, and used for what it reads next.
      const packet = Buffer.from(rawPacket);
      const packets = kept.get(socket);
      if (packets === undefined) {
        kept.set(socket, [packet]);
        socket.once("resume", () => putAgain(socket));
      } else packets.push(packet);
      return true;
    },
  };
}
