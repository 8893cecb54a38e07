/** What an ID token that nobody has verified says its issuer is: nobody's word, and good only to tell kinds of refusals apart. */
import { decodeBase64Url } from "./encoding.ts";
import { parseJsonBytes } from "./json.ts";
import { Malformed } from "./malformed.ts";

/** Null unless it is plain text of moderate length. */
export function unverifiedIssuer(idToken: string): string | null {
  try {
    const claims = parseJsonBytes(decodeBase64Url(idToken.split(".", 2)[1] ?? ""));
    if (typeof claims !== "object" || claims === null || !("iss" in claims)) return null;
    const { iss } = claims;
    return typeof iss === "string" && /^[!-~]{1,256}$/.test(iss) ? iss : null;
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    return null;
  }
}
