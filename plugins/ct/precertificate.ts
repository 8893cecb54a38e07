/**
 * Precertificates that the issuing CA has not signed itself but a Precertificate Signing Certificate right below it (RFC 6962 §3.1).
 * What is logged and promised is the certificate to come, so issuer and authority key identifier are the issuing CA's (§3.2).
 */
import * as der from "../../core/formats/der.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  type Certificate,
  extensionOids,
  findExtension,
  keyPurposes,
  readKeyPurposes,
} from "../../core/formats/x509.ts";

/** True if the certificate is one that signs precertificates. */
export function isPrecertificateSigner(certificate: Certificate): boolean {
  return readKeyPurposes(certificate)?.includes(keyPurposes.precertificateSigning) === true;
}

/** The TBSCertificate, without poison already, as the CA above `signer` will issue it. @throws {Malformed} */
export function asIssued(tbs: Uint8Array, signer: Certificate): Uint8Array {
  const children = der.expectTag(der.readDer(tbs), der.tags.sequence, "tbsCertificate").children();
  const [version, serial, algorithm, , ...rest] = children.map(({ encoded }) => encoded);
  const last = children.at(-1);
  // Version 3 is what a poison demands, so its field is there and the issuer is the fourth.
  if (!version || !serial || !algorithm || last?.tag !== 0xa3) {
    throw new Malformed("precertificate: no extensions");
  }
  const outer = der.walk(last, "extensions", 0xa3);
  const extensions = outer.take("list", der.tags.sequence).children();
  outer.end();
  return der.sequence(
    version,
    serial,
    algorithm,
    signer.issuer,
    ...rest.slice(0, -1),
    der.explicit(3, der.sequence(...withKeyIdentifier(extensions, signer))),
  );
}

/** The extensions with the signer's authority key identifier in the place of the precertificate's, at the end if it has none. */
function withKeyIdentifier(
  extensions: readonly der.DerElement[],
  signer: Certificate,
): readonly Uint8Array[] {
  const oid = extensionOids.authorityKeyIdentifier;
  const wanted = findExtension(signer, oid);
  const replacement =
    wanted === undefined ? [] : [der.sequence(der.oid(oid), der.octetString(wanted.value))];
  const isIdentifier = (element: der.DerElement): boolean =>
    der.readOid(der.walk(element, "extension").take("identifier")) === oid;
  if (!extensions.some(isIdentifier)) {
    return [...extensions.map(({ encoded }) => encoded), ...replacement];
  }
  return extensions.flatMap((element) => (isIdentifier(element) ? replacement : [element.encoded]));
}
