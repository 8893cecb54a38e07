/**
 * What a provider is: typed data that says which issuers of one kind there are, what their claims are and what a certificate says
 * of them. Nothing here runs; `mapping.ts` reads it. `provider.schema.json` is the same contract for files from outside this tree.
 *
 * A *template* is text with references in braces. Each names the space it looks in, so nothing a token claims can take the place
 * of something the provider or the operator has fixed:
 *
 * | reference | is |
 * |---|---|
 * | `{claims.NAME}` | a claim that `claims` declares; the subject is `{claims.sub}` |
 * | `{const.NAME}` | a value from `constants` |
 * | `{choice.NAME}` | a value from `choices` |
 * | `{config.NAME}` | a setting the operator gave with the issuer, named in `needs` |
 * | `{iss}` `{iss.host}` `{iss.origin}` `{iss.NAME}` | the issuer's URL, parts of it, and what a variable of its pattern stood for |
 * | `{base}` | the web address of the issuer's instance, from its pattern or the operator's `baseUrl` |
 * | `{derived.NAME}` | a value of `derive`, in providers that are code |
 *
 * A template in which an optional claim is absent has no value, and what it would have filled is left out.
 */

/** One kind of issuer: its address, and the address people see. */
export interface IssuerPattern {
  /**
   * An exact URL, or a URI template: `{host}` stands for a host name with an optional port, any other `{name}` for one label of the
   * host or one segment of the path (letters, digits, `-` and `_`). Never a regular expression.
   */
  readonly url: string;
  /** Text with `{iss}` and the pattern's variables. */
  readonly base: string;
  /** The origin of the key set where it is not the issuer's own. */
  readonly jwks?: string;
}

/** What a claim must be. Everything else is refused, because it could not reach the certificate exactly or could be misread. */
export interface ClaimRule {
  /** Where it stands in the token, from the outside in; by default a member with the claim's own name. */
  readonly at?: readonly string[];
  /**
   * `text` is a string or an exact whole number, in decimal; `word` is one piece of a URI path; `path` is several; `uri` is an
   * absolute URI; `email` an address; `flag` a boolean as `true` or `false`; `origin` a scheme and host in the issuer's own
   * domain, or exactly the default.
   */
  readonly type: "text" | "word" | "path" | "uri" | "email" | "flag" | "origin";
  readonly required?: true;
  /**
   * What an absent claim counts as: a template without claims, or, unless it is an address or an origin, that of a claim which is
   * required. What a token fills in is held to all that the claim itself is held to.
   */
  readonly default?: string;
  /** The provider never gives it to anybody else, as an id in contrast to a name. */
  readonly immutable?: true;
  /** It says something about a person. */
  readonly personal?: true;
  /** Templates without claims: the value must begin with this, be this, or have this scheme and host. */
  readonly startsWith?: string;
  readonly equals?: string;
  readonly within?: string;
  readonly oneOf?: readonly string[];
  /** Texts that must not be in it. */
  readonly without?: readonly string[];
  /** For the documentation. */
  readonly note?: string;
}

/** A value that depends on another's. */
export interface Choice {
  /** Template. */
  readonly of: string;
  /** By value. */
  readonly cases: { readonly [value: string]: string };
  /** In every other case; absent means that a token with another value is refused. */
  readonly otherwise?: string;
}

/** Where a program finds a token without asking anybody: for the client. */
export type TokenSource =
  | { readonly kind: "environment"; readonly variable: string }
  | { readonly kind: "file"; readonly path: string }
  | {
      /** An HTTP request to an address and with a bearer token that the environment gives. */
      readonly kind: "request";
      readonly method: "GET" | "POST";
      /** Text with `$NAME` for variables of the environment. */
      readonly url: string;
      readonly bearer: string;
      readonly audience: { readonly in: "query" | "json"; readonly name: string };
      /** Member of the answer that is the token. */
      readonly answer: string;
    }
  | { readonly kind: "spiffe"; readonly socket: string };

/** Settings of an issuer that a provider may need. */
export type Setting = "subjectDomain" | "trustDomain" | "cluster";

/** The meaning of one kind of issuer's claims. */
export interface Provider {
  /** What configuration calls it, and `issuerType` in `GET /api/v2/configuration`. */
  readonly type: string;
  /** Raised whenever the same claims would give another certificate. */
  readonly version: number;
  /** One line for lists. */
  readonly title: string;
  /** Empty means that any issuer may be of this kind; its origin is the base then. */
  readonly issuers: readonly IssuerPattern[];
  readonly claims: { readonly [name: string]: ClaimRule };
  readonly constants?: { readonly [name: string]: string };
  readonly choices?: { readonly [name: string]: Choice };
  readonly needs?: readonly Setting[];
  /** What the proof of possession signs. `email-or-sub` is the address if the token has one. */
  readonly challenge: "email" | "sub" | "email-or-sub";
  /** The certificate's one name. */
  readonly san: { readonly kind: "email" | "uri" | "otherName"; readonly template: string };
  /** The claims that together are one principal of an issuer: two tokens that differ in one of them never get one name. */
  readonly uniqueBy: readonly string[];
  /** The issuer in the certificate, where it is not `iss`. Template. */
  readonly issuer?: string;
  /** The member of the token that says that the address was verified; demanded unless the operator answers for the addresses. */
  readonly mail?: { readonly verifiedBy: string };
  /** Certificate extensions 1.3.6.1.4.1.57264.1.`arc`, ascending: 2 to 6 and 9 to 23. */
  readonly extensions: readonly { readonly arc: number; readonly template: string }[];
  /** How sure the issuer was: members of the token. */
  readonly assurance?: { readonly acr?: string; readonly amr?: string; readonly authTime?: string };
  /** Terms to search by. Templates by name. */
  readonly facets?: { readonly [name: string]: string };
  readonly tokenSources?: readonly TokenSource[];
  /** Only in providers that are code: further values, from the verified claims and from nothing else. */
  readonly derive?: (claims: { readonly [name: string]: unknown }) => {
    readonly [name: string]: string;
  };
}
