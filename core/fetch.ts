/** The one outbound HTTP client. Plugins get it through their context by `reaches: ["internet"]`. */

/** A response that was read whole. */
export interface OutboundResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;
  /** Seconds from `Cache-Control: max-age`, or null. */
  readonly maxAgeSeconds: number | null;
}

/** Fetches `url` by GET: no redirects, identity encoding, address vetted and pinned, total deadline, bounded body. */
export type OutboundFetch = (
  url: string,
  limits?: { readonly timeoutMs?: number; readonly maxBytes?: number },
) => Promise<OutboundResponse>;
