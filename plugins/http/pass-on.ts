/**
 * Passes requests on to the sign-in behind its UNIX socket. It gets what it needs of them and nothing else: no header field of a
 * client's can say where a request came from or under which name we were called.
 */
import { closeSync, constants, openSync } from "node:fs";
import { request as connect, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { Failure } from "../../events/failure.ts";
import type { Answered, Asked } from "./route.ts";

/** Passes a request on, with another body if one is given, and answers what came back. */
export type PassOn = (asked: Asked, form?: URLSearchParams) => Promise<Answered>;

/** For doors without a sign-in behind them. */
export const nobodyThere: PassOn = async () => {
  await Promise.resolve();
  throw new Failure("issuer-unavailable", "there is no sign-in here");
};

/** What goes in, and what comes out. */
const inbound = ["accept", "cookie", "origin", "sec-fetch-site", "content-type", "traceparent"];
const outbound = [
  "cache-control",
  "content-security-policy",
  "location",
  "pragma",
  "referrer-policy",
  "set-cookie",
  "x-frame-options",
];
const timeoutMs = 15_000;
const maxAnswerBytes = 262_144;
/** `sun_path` holds 108 bytes with its end. */
const longestPath = 107;

/** Makes what passes on to the sign-in of a home. */
export function passOnTo(home: string): PassOn {
  return async ({ raw, body }, form) => {
    const sent = form === undefined ? body : encodeUtf8(form.toString());
    const headers: { [name: string]: string | string[] } = { "x-chancery-address": raw.address };
    for (const name of inbound) {
      const value = raw.headers[name];
      if (value !== undefined) headers[name] = typeof value === "string" ? value : [...value];
    }
    if (raw.method === "POST") headers["content-length"] = String(sent.length);
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    using address = addressOf(join(home, "run"));
    const outgoing = connect({
      socketPath: address.path,
      agent: false,
      // HEAD is answered by us, from what GET would be.
      method: raw.method === "POST" ? "POST" : "GET",
      path: raw.target,
      headers,
      signal: AbortSignal.timeout(timeoutMs),
    });
    outgoing.once("response", resolve);
    outgoing.on("error", (cause) =>
      reject(new Failure("issuer-unavailable", "the sign-in does not answer", { cause })),
    );
    outgoing.end(sent);
    return await answerOf(await promise);
  };
}

async function answerOf(response: IncomingMessage): Promise<Answered> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Uint8Array>) {
    length += part.length;
    if (length > maxAnswerBytes) {
      response.destroy();
      throw new Failure("internal", "the sign-in answered too much");
    }
    parts.push(part);
  }
  const status = response.statusCode ?? 500;
  // Its words for what it does not know repeat what was asked for; ours do not.
  if (status === 404) throw new Failure("not-found", "the sign-in has no such page");
  if (status === 500) throw new Failure("internal", "the sign-in failed");
  const headers: { [name: string]: string | readonly string[] } = {};
  for (const name of outbound) {
    const value = response.headers[name];
    if (value !== undefined) headers[name] = value;
  }
  return {
    status,
    // JSON has no charset (RFC 8259 §11).
    contentType: (response.headers["content-type"] ?? "text/plain; charset=utf-8").replace(
      /^application\/json;.*$/,
      "application/json",
    ),
    // Nobody reads what stands beside a redirect.
    body: status < 400 && status >= 300 ? "" : new Uint8Array(Buffer.concat(parts, length)),
    headers,
  };
}

/** The socket's path; where the home lies too deep for a socket's address, by way of the open folder. */
function addressOf(directory: string): { readonly path: string } & Disposable {
  const path = join(directory, "oidc.sock");
  if (Buffer.byteLength(path) <= longestPath) return { path, [Symbol.dispose]() {} };
  try {
    const held = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    return {
      path: `/proc/self/fd/${held}/oidc.sock`,
      [Symbol.dispose]: () => closeSync(held),
    };
  } catch (cause) {
    throw new Failure("issuer-unavailable", "there is no sign-in here", { cause });
  }
}
