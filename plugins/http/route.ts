/** What a route is, so that each API is a list of them and knows nothing of servers. */
import type { Context } from "../../core/plugin.ts";
import type { FailureCode } from "../../events/failure.ts";
import type { Parameters } from "./query.ts";
import type { http } from "./manifest.ts";

/** Puts one of the asks the door needs. */
export type Put = Context<
  typeof http.manifest.config,
  typeof http.manifest.needs,
  typeof http.manifest.emits
>["ask"];

/** A request that has passed the gate. */
export interface Asked {
  /** Values of the path's `:name` parts, and of its `*` under `*`. */
  readonly path: { readonly [name: string]: string | undefined };
  readonly query: Parameters;
  readonly authorization: string | undefined;
  /** Where it comes from, as far as records go: an IPv4 /24 or an IPv6 /48. */
  readonly network: string;
  /** Empty for GET. */
  readonly body: Uint8Array;
  /** The body's type without parameters, lower-case; empty for GET. */
  readonly mediaType: string;
  /** As it came, for what passes requests on. */
  readonly raw: {
    readonly method: string;
    /** Path and query. */
    readonly target: string;
    readonly headers: Readonly<{ [name: string]: string | readonly string[] | undefined }>;
    readonly address: string;
  };
}

/** A response. */
export interface Answered {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Uint8Array;
  readonly headers?: { readonly [name: string]: string | readonly string[] };
}

/** How an API words its errors. Texts are fixed: nothing from inside and nothing the client sent is in them. */
export interface Family {
  /** True if pages of every origin may call the API (Fetch, CORS): it knows no cookies, so a page can only do what anybody can. */
  readonly crossOrigin: boolean;
  /** One status a failure code: a new code does not compile until every API has one. */
  readonly statuses: Readonly<{ [Code in FailureCode]: number }>;
  /** The response to a failed ask; `code` is null when the request itself was refused with `status`. */
  word(status: number, code: FailureCode | null): Answered;
}

/** A route and what it takes. */
export interface Route {
  readonly method: "GET" | "POST";
  /** `:name` is one path segment, a final `*` the rest. */
  readonly path: string;
  readonly family: Family;
  /** True for the routes that say how the installation is: they are served however busy it is. */
  readonly probe?: true;
  /** Present exactly for POST. */
  readonly body?: {
    readonly mediaType: string;
    /** Other types that are taken too. */
    readonly alternatives?: readonly string[];
    readonly maxBytes: number;
  };
  handle(asked: Asked): Promise<Answered>;
}

/** A JSON response. */
export function json(value: unknown, status = 200): Answered {
  return { status, contentType: "application/json", body: JSON.stringify(value) };
}
