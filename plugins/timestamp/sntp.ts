/** Asking a time server (SNTP, RFC 5905 §14): one packet there, one back, and how far the two clocks are apart. */
import { createSocket } from "node:dgram";
import { randomBytes } from "node:crypto";
import { equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";

const packetBytes = 48;
const defaultPort = 123;
/** Seconds from 1900, where NTP begins, to 1970. */
const epochSeconds = 2_208_988_800;
const eraSeconds = 2 ** 32;

/** Our clock when something was sent or came. */
interface Moments {
  readonly sentMs: number;
  readonly receivedMs: number;
}

/**
 * Milliseconds by which the server's clock is ahead of ours.
 *
 * @throws if it does not answer within `timeoutMs`, or not with its time.
 */
export async function askOffset(
  server: string,
  nowMs: () => number,
  timeoutMs: number,
): Promise<number> {
  const [host = "", port = String(defaultPort)] = server.split(":");
  const request = new Uint8Array(packetBytes);
  request[0] = (4 << 3) | 3;
  // The server gives our transmit time back: random bits there show that an answer is to this question.
  const cookie = randomBytes(8);
  request.set(cookie, 40);
  const socket = createSocket({ type: "udp4" });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const timer = setTimeout(() => reject(new Error(`${server} does not answer`)), timeoutMs);
  let sentMs = 0;
  socket.on("error", reject);
  socket.on("message", (reply: Uint8Array) => {
    const receivedMs = nowMs();
    // Anybody may send us a packet; one that does not know the cookie is nobody's answer.
    if (reply.length < packetBytes || !equalBytes(reply.subarray(24, 32), cookie)) return;
    try {
      resolve(offsetIn(reply, { sentMs, receivedMs }));
    } catch (error) {
      reject(error instanceof Error ? error : new Error("broken answer"));
    }
  });
  try {
    sentMs = nowMs();
    socket.send(request, Number(port), host, (error) => {
      if (error) reject(error);
    });
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

/** The offset a reply gives (RFC 5905 §8). @throws {Malformed} if the server does not know the time. */
export function offsetIn(reply: Uint8Array, { sentMs, receivedMs }: Moments): number {
  const view = new DataView(reply.buffer, reply.byteOffset, reply.byteLength);
  const first = view.getUint8(0);
  const stratum = view.getUint8(1);
  if ((first & 7) !== 4) throw new Malformed("sntp: not a server's reply");
  if (first >> 6 === 3 || stratum === 0 || stratum > 15) {
    throw new Malformed("sntp: the server's clock is not synchronised");
  }
  const serverReceivedMs = timeAt(view, 32, sentMs);
  const serverSentMs = timeAt(view, 40, sentMs);
  return (serverReceivedMs - sentMs + (serverSentMs - receivedMs)) / 2;
}

/** A timestamp of 32.32 bits, in the era nearest to `nearMs`. */
function timeAt(view: DataView, at: number, nearMs: number): number {
  const seconds = view.getUint32(at) - epochSeconds;
  const era = Math.round((nearMs / 1000 - seconds) / eraSeconds);
  return (seconds + era * eraSeconds + view.getUint32(at + 4) / eraSeconds) * 1000;
}
