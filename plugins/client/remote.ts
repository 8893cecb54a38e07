/** Asking the service over HTTP: bounded, with a deadline, without redirects, and again when it says "later". */
import { setTimeout as sleep } from "node:timers/promises";
import { decodeUtf8 } from "../../core/formats/encoding.ts";
import { type JsonValue, parseJson } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { CommandError, environmentError, exitCodes, type Reason } from "./terminal.ts";

/** One request. */
export interface Request {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly headers?: Readonly<{ [name: string]: string }>;
  readonly body?: string | Uint8Array;
  /** What is asked for, in errors: "the certificate". */
  readonly what: string;
  /** Statuses that are an answer; any other is an error. */
  readonly accept: readonly number[];
  /** Refusals that are the operator's will. */
  readonly refusals?: readonly WilledRefusal[];
}

/** How an answer looks that is no fault: status and very words, so that nothing else passes for it. */
export interface WilledRefusal {
  readonly status: number;
  /** What stands in `message`, or in OAuth's `error`. */
  readonly says: string;
  readonly reason: Reason;
}

/** An answer that was read whole. */
export interface Response {
  readonly status: number;
  readonly location: string | null;
  readonly body: Uint8Array;
}

/**
 * Puts a request; a service that is busy is asked again, up to four times in all.
 *
 * @throws {CommandError} with exit code 3 if the service cannot be reached or stays busy, 1 if it refuses or answers too much.
 */
export async function request(asked: Request): Promise<Response> {
  // Sequential: each attempt waits for what the one before was told.
  for (let attempt = 1; ; attempt++) {
    const answer = await once(asked);
    if (asked.accept.includes(answer.status)) return answer;
    if (!busy.includes(answer.status)) throw refused(asked, answer);
    if (attempt === maxAttempts) {
      throw environmentError(
        `${asked.what}: the service is busy (${answer.status}); try again later`,
      );
    }
    await sleep(answer.retryAfterMs ?? 250 * 2 ** (attempt - 1));
  }
}

/** The JSON of an answer. @throws {CommandError} with exit code 1 if it is none. */
export function jsonOf(answer: Response, what: string): JsonValue {
  try {
    return parseJson(decodeUtf8(answer.body));
  } catch (cause) {
    throw new CommandError(exitCodes.failed, `${what}: the service's answer is not JSON`, {
      cause,
    });
  }
}

const busy: readonly number[] = [408, 429, 502, 503, 504];
const maxAttempts = 4;
const deadlineMs = 30_000;
const longestWaitMs = 5_000;
const maxBodyBytes = 16 * 1024 * 1024;

async function once(asked: Request): Promise<Response & { retryAfterMs: number | null }> {
  const { method, url, headers = {}, body } = asked;
  try {
    const answer = await fetch(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
      // A redirect would carry the token to wherever it points.
      redirect: "error",
      signal: AbortSignal.timeout(deadlineMs),
    });
    return {
      status: answer.status,
      location: answer.headers.get("location"),
      retryAfterMs: retryAfter(answer.headers.get("retry-after")),
      body: await readBody(answer, asked.what),
    };
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw environmentError(`${asked.what}: ${whyNoAnswer(new URL(url), error)}`, error);
  }
}

async function readBody(answer: globalThis.Response, what: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body ?? []) {
    length += chunk.length;
    if (length > maxBodyBytes) {
      throw new CommandError(exitCodes.failed, `${what}: the service's answer is too large`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function retryAfter(header: string | null): number | null {
  if (header === null || !/^\d{1,6}$/.test(header)) return null;
  return Math.min(Number(header) * 1000, longestWaitMs);
}

function whyNoAnswer({ origin }: URL, error: unknown): string {
  const why = explain(error);
  if (certificateFaults.test(why)) {
    return `${origin} shows a certificate that is not trusted (${why}); its CA belongs in trust/tls/ca.pem of the home`;
  }
  return `${origin} does not answer (${why}); is it running? start it with "npm start"`;
}

/** Codes of OpenSSL and Node for a TLS server that is not who it should be. */
const certificateFaults = /CERT|SIGNATURE|SELF_SIGNED/;

function explain(error: unknown): string {
  if (!(error instanceof Error)) return "unknown error";
  if (error.name === "TimeoutError") return `no answer in ${deadlineMs / 1000} s`;
  const { code } = (error.cause ?? error) as NodeJS.ErrnoException;
  return code === "ECONNREFUSED" ? "connection refused" : (code ?? error.message);
}

function refused({ what, refusals = [] }: Request, { status, body }: Response): CommandError {
  const { message, error, description } = saidIn(body);
  const willed = refusals.find(
    (refusal) => refusal.status === status && [message, error].includes(refusal.says),
  );
  return new CommandError(
    exitCodes.failed,
    `${what}: the service refused (${status})${shown(message ?? description ?? error)}`,
    { reason: willed?.reason ?? null },
  );
}

/** Fulcio and Rekor answer `{"code", "message"}`, OAuth `{"error", "error_description"}`. */
function saidIn(body: Uint8Array): {
  readonly message?: JsonValue;
  readonly error?: JsonValue;
  readonly description?: JsonValue;
} {
  try {
    const json = parseJson(decodeUtf8(body)) as { readonly [name: string]: JsonValue } | null;
    const { message, error, error_description: description } = json ?? {};
    return {
      ...(message !== undefined && { message }),
      ...(error !== undefined && { error }),
      ...(description !== undefined && { description }),
    };
  } catch (thrown) {
    if (thrown instanceof Malformed) return {};
    throw thrown;
  }
}

/** Without control characters. */
function shown(said: JsonValue | undefined): string {
  if (typeof said !== "string" || said === "") return "";
  return `: ${said.replace(/\p{Cc}/gu, " ").slice(0, 500)}`;
}
