/**
 * What every request must pass before a route sees it. The request line and headers are attacker-controlled, and Node's parser is
 * more tolerant than we are: it takes absolute-form targets, dot segments and repeated content types.
 */

/** Methods that reach the router, which knows what each path allows. */
const methods: readonly (string | undefined)[] = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
];

/** What is answered in `Allow` where no path has been looked at. */
export const allow = "GET, HEAD, POST";

const maxTargetLength = 4_096;

/** Header fields that must not be repeated; their meaning would depend on who reads them. */
const singular = new Map(
  ["authorization", "content-type", "content-encoding", "content-length", "traceparent"].map(
    (name, at) => [name, 1 << at] as const,
  ),
);

/** A request line and its header fields, as Node gives them. */
export interface Line {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly rawHeaders: readonly string[];
}

/** The status the request is refused with, or the target it is served under. */
export function passGate({
  method,
  url = "",
  rawHeaders,
}: Line): number | { readonly target: string } {
  if (!methods.includes(method)) return 405;
  if (url.length > maxTargetLength || !isPlainTarget(url)) return 400;
  const refused = refusalOf(rawHeaders);
  if (refused !== null) return refused;
  // sigstore-go joins a base URL that ends in a slash with a path that starts with one.
  return { target: url.startsWith("//") ? url.replace(/^\/+/, "/") : url };
}

/**
 * Origin-form (RFC 9112 §3.2.1) of characters that have one spelling: none of our paths needs an escape, a backslash or an empty
 * segment, so whatever has one is not ours, and there is no second way to write those that are.
 */
function isPlainTarget(url: string): boolean {
  const end = url.indexOf("?");
  const path = end < 0 ? url : url.slice(0, end);
  if (!/^\/[A-Za-z0-9/._~:@!$&'()*+,;=-]*$/.test(path)) return false;
  return !path.includes("/.") || !/\/\.{1,2}(?:\/|$)/.test(path);
}

/** The status that these fields are refused with, or null. A repeated field is told before a value that is not served. */
function refusalOf(rawHeaders: readonly string[]): number | null {
  let seen = 0;
  let unserved: number | null = null;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? "").toLowerCase();
    const bit = singular.get(name);
    if (bit !== undefined) {
      if ((seen & bit) !== 0)
        return name.startsWith("content-") && name !== "content-length" ? 415 : 400;
      seen |= bit;
    } else unserved ??= unservedBy(name, rawHeaders[at + 1] ?? "");
  }
  return unserved;
}

function unservedBy(name: string, value: string): number | null {
  if (name === "expect" && value.toLowerCase() !== "100-continue") return 417;
  // Clients offer h2c in passing (RFC 7540 §3.2) and mean it no longer; who wants anything else wants another server.
  return name === "upgrade" && value.toLowerCase() !== "h2c" ? 400 : null;
}

/** True if a body so labelled may be read as `mediaType`: no other charset than UTF-8, no encoding (RFC 9110 §8.3, §8.4). */
export function isAcceptable(
  mediaType: string,
  contentType: string | undefined,
  contentEncoding: string | undefined,
): boolean {
  if (contentEncoding !== undefined && contentEncoding.toLowerCase() !== "identity") return false;
  return mediaTypeOf(contentType) === mediaType;
}

/** The type and subtype, lower-case, of a Content-Type that has no parameter but UTF-8's; null of any other. */
export function mediaTypeOf(contentType: string | undefined): string | null {
  if (contentType === undefined || contentType.length > 256) return null;
  const match = /^([a-z0-9/+.-]+)[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?$/i.exec(
    contentType.trim(),
  );
  return match?.[1]?.toLowerCase() ?? null;
}
