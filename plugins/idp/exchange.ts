/** One request of a browser to a page of ours, and the answers to it. */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import type { Page } from "./page.ts";

/** A request and where its answer goes. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Path below the issuer, and query. */
  readonly url: URL;
  /** The client's address, as the door saw it. */
  readonly address: string;
}

const maxFormBytes = 16_384;

/** Sends a page. */
export function sendPage({ response }: Exchange, page: Page, status = 200): void {
  response.writeHead(status, page.headers).end(page.html);
}

/** Sends the browser on, with GET. */
export function sendTo({ response }: Exchange, location: string): void {
  response.writeHead(303, { location, "cache-control": "no-store" }).end();
}

/** The fields of a form; null if it is larger than ours are. */
export async function readForm({ request }: Exchange): Promise<URLSearchParams | null> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Uint8Array>) {
    length += part.length;
    if (length > maxFormBytes) return null;
    parts.push(part);
  }
  return new URLSearchParams(Buffer.concat(parts).toString("utf8"));
}

/** Marks forms, so that only pages of ours can send them. */
export interface FormGuard {
  /** The mark of a form for one interaction. */
  mark(uid: string): string;
  /** True if the form came from a page of ours for this very interaction. */
  isOurs(exchange: Exchange, uid: string, mark: string | null): boolean;
}

/** Makes the guard of one process. */
export function createFormGuard(origin: string): FormGuard {
  const secret = randomBytes(32);
  const mark = (uid: string): string =>
    createHmac("sha256", secret).update(encodeUtf8(uid)).digest("base64url");
  return {
    mark,
    isOurs({ request: { headers } }, uid, shown) {
      // Browsers say where a form comes from; those that do not are held to the cookie and the mark alone.
      const from = headers.origin;
      const site = headers["sec-fetch-site"];
      if (from !== undefined && from !== origin) return false;
      if (site !== undefined && site !== "same-origin") return false;
      const [given, right] = [encodeUtf8(shown ?? ""), encodeUtf8(mark(uid))];
      return given.length === right.length && timingSafeEqual(given, right);
    },
  };
}
