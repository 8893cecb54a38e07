/**
 * What a provider is: data that says what the claims of one kind of OIDC issuer mean. Nothing here runs; `principal.ts` reads it.
 *
 * A *template* is either the name of a claim, or text with `{{claim}}` in it. A claim is a string, or an exact whole number, which
 * is written in decimal. A template in which a claim is missing has no value.
 */

/** The meaning of one kind of issuer's claims. */
export interface Provider {
  /** What configuration calls it, and `issuerType` in `GET /api/v2/configuration`. */
  readonly type: string;
  /** The claim the proof of possession signs. */
  readonly challenge: "email" | "sub";
  /** The certificate's one name. */
  readonly san: { readonly kind: "email" | "uri"; readonly template: string };
  /** True if the token must say that the address in `email` was verified. */
  readonly emailVerified?: true;
  /** True if the subject must be a URI with the scheme and host of the configured `subjectDomain`. */
  readonly subjectDomain?: true;
  /** Values a template may name besides claims; a claim of the same name wins. */
  readonly defaults?: { readonly [name: string]: string };
  /** Claims without which a token is refused. */
  readonly required: readonly string[];
  /** Certificate extensions 1.3.6.1.4.1.57264.1.`arc`, ascending. One whose template has no value is left out. */
  readonly extensions: readonly { readonly arc: number; readonly template: string }[];
}
