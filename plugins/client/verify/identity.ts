/** Whose signature it is, and who says so. */
import {
  type Certificate,
  extensionOids,
  findExtension,
  readSubjectAltNames,
} from "../../../core/formats/x509.ts";
import { readFulcioExtensions } from "../../../core/formats/fulcio-oids.ts";
import { NotVerified } from "./not-verified.ts";

/** A text that is demanded, exactly or by a pattern for the whole of it. */
export type Expected =
  | { readonly kind: "exact"; readonly value: string }
  | { readonly kind: "regexp"; readonly pattern: RegExp };

/** Who must have signed. */
export interface Policy {
  /** The subject alternative name: an e-mail address, a URI or a user name. */
  readonly identity: Expected;
  /** Who vouched for the identity: the OIDC issuer. */
  readonly oidcIssuer: Expected;
}

/** Who signed. */
export interface Identity {
  readonly subjectAltName: string;
  readonly oidcIssuer: string;
}

/** Expects exactly `value`. */
export function exactly(value: string): Expected {
  return { kind: "exact", value };
}

/**
 * Expects a text that `source`, a regular expression, matches as a whole: it is anchored here, since a pattern that matches in the
 * middle of `https://evil.example/?https://good.example` has been the hole in many a policy.
 *
 * @throws {SyntaxError} if it is not a regular expression.
 */
export function matching(source: string): Expected {
  // By itself first: "a)|(?:b" is only an expression between our parentheses, and would leave them.
  return { kind: "regexp", pattern: new RegExp(`^(?:${new RegExp(source, "u").source})$`, "u") };
}

/** The identity in a certificate, whether demanded or not. @throws {NotVerified} if it does not have exactly one name and an issuer. */
export function readIdentity(certificate: Certificate): Identity {
  const extension = findExtension(certificate, extensionOids.subjectAltName);
  const [name, ...more] = extension === undefined ? [] : readSubjectAltNames(extension);
  if (name === undefined || more.length > 0) {
    throw new NotVerified("identity", "the certificate does not have exactly one identity");
  }
  const { [issuerV2]: current, [issuerV1]: deprecated } = readFulcioExtensions(certificate);
  const oidcIssuer = current ?? deprecated;
  if (oidcIssuer === undefined || oidcIssuer === "") {
    throw new NotVerified("identity", "the certificate does not name an OIDC issuer");
  }
  return { subjectAltName: name.value, oidcIssuer };
}

/** Does nothing if the identity is the one demanded. @throws {NotVerified} otherwise. */
export function checkIdentity(identity: Identity, policy: Policy): void {
  if (!accepts(policy.identity, identity.subjectAltName)) {
    throw new NotVerified(
      "identity",
      `signed by "${identity.subjectAltName}", not who was demanded`,
    );
  }
  if (!accepts(policy.oidcIssuer, identity.oidcIssuer)) {
    throw new NotVerified(
      "identity",
      `the identity is vouched for by "${identity.oidcIssuer}", not by the issuer demanded`,
    );
  }
}

/** Arcs below 1.3.6.1.4.1.57264.1. */
const issuerV1 = "1";
const issuerV2 = "8";

function accepts(expected: Expected, value: string): boolean {
  switch (expected.kind) {
    case "exact":
      return expected.value === value;
    case "regexp":
      return expected.pattern.test(value);
  }
}
