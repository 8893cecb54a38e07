/** What an operator gives an issuing key for its certificate: held against the keyring before it is bound. */
import { importPublicKey } from "../core/crypto/keys.ts";
import { isSignedBy } from "../core/crypto/signed.ts";
import { equalBytes } from "../core/formats/encoding.ts";
import { parseCertificate } from "../core/formats/x509.ts";
import { Failure } from "../events/failure.ts";
import { lintAuthority } from "./ceremony/lint.ts";
import type { Keyring, VaultKey } from "./keyring.ts";

/** @throws {Failure} operation-refused, or {VaultRefused} or {Malformed}, unless it is a chain for this key below a root that is known. */
export function checkChain(
  key: VaultKey,
  chain: readonly Uint8Array[],
  keys: Keyring["keys"],
): void {
  if (!key.purposes.includes("certificate")) {
    throw refused(`"${key.label}" does not sign certificates`);
  }
  const roots = keys.flatMap(({ chain: other }) => other?.at(-1) ?? []);
  const root = chain.at(-1);
  if (!root || !roots.some((one) => equalBytes(one, root))) {
    throw refused("the chain ends in a root that the keyring does not know");
  }
  const read = chain.map(parseCertificate);
  const [own] = read;
  if (!own || !equalBytes(own.publicKey, key.publicKey)) {
    throw refused(`the chain begins with a certificate of another key than "${key.label}"`);
  }
  lintAuthority(own.tbs, "issuing");
  for (const [at, certificate] of read.entries()) {
    const above = read[at + 1] ?? certificate;
    const isLinked = equalBytes(certificate.issuer, above.subject);
    if (!isLinked || !isSignedBy(certificate, importPublicKey(above.publicKey))) {
      throw refused("the chain does not hold together");
    }
  }
}

function refused(message: string): Failure {
  return new Failure("operation-refused", message);
}
