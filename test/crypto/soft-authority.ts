/** A CA of two levels whose keys are in memory: what the vault's would be in tests that need no vault. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import * as der from "../../core/formats/der.ts";
import {
  type Extension,
  extensionOids,
  formatCertificate,
  formatName,
  formatTbs,
  keyIdentifier,
  keyPurposes,
  type SignatureAlgorithm,
} from "../../core/formats/x509.ts";

/** A key pair with its public half in DER. */
export interface SoftKeyPair {
  readonly privateKey: KeyObject;
  readonly spki: Uint8Array;
}

/** Both CAs and what leaves need of them. */
export interface SoftAuthority {
  readonly root: SoftKeyPair & { readonly der: Uint8Array; readonly name: Uint8Array };
  readonly issuing: SoftKeyPair & {
    readonly der: Uint8Array;
    readonly name: Uint8Array;
    readonly keyId: Uint8Array;
  };
  /** Issuing CA first, root last. */
  readonly chain: readonly Uint8Array[];
}

/** Makes a key pair. */
export function softKey(namedCurve = "P-256"): SoftKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve });
  return { privateKey, spki: new Uint8Array(publicKey.export({ format: "der", type: "spki" })) };
}

/** ECDSA in DER. */
export function softSign(key: SoftKeyPair, data: Uint8Array, hash = "sha256"): Uint8Array {
  return new Uint8Array(sign(hash, data, key.privateKey));
}

/** What a test may want otherwise in the issuing CA. */
export interface AuthorityChanges {
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly extensions?: readonly Extension[];
}

/** A root (P-384) and an issuing CA (P-256), valid around `now`. */
export function softAuthority(now: Date, changes: AuthorityChanges = {}): SoftAuthority {
  const rootKey = softKey("P-384");
  const issuingKey = softKey();
  const rootName = formatName({ commonName: "test root", organization: "test" });
  const issuingName = formatName({ commonName: "test issuing CA", organization: "test" });
  const year = 365 * 86_400_000;
  const validity = {
    notBefore: new Date(now.getTime() - year),
    notAfter: new Date(now.getTime() + year),
  };
  const rootKeyId = keyIdentifier(rootKey.spki);
  const root = certificate(rootKey, "ecdsa-sha384", {
    ...validity,
    issuer: rootName,
    subject: rootName,
    publicKey: rootKey.spki,
    extensions: [certSign, basicConstraints(null), subjectKeyId(rootKey.spki)],
  });
  const issuing = certificate(rootKey, "ecdsa-sha384", {
    ...validity,
    ...changes,
    issuer: rootName,
    subject: issuingName,
    publicKey: issuingKey.spki,
    extensions: changes.extensions ?? [
      certSign,
      codeSigning,
      basicConstraints(0n),
      subjectKeyId(issuingKey.spki),
      {
        oid: extensionOids.authorityKeyIdentifier,
        critical: false,
        value: der.sequence(der.implicit(0, rootKeyId)),
      },
    ],
  });
  return {
    root: { ...rootKey, der: root, name: rootName },
    issuing: {
      ...issuingKey,
      der: issuing,
      name: issuingName,
      keyId: keyIdentifier(issuingKey.spki),
    },
    chain: [issuing, root],
  };
}

/** Any certificate, signed by `signer`. */
export function certificate(
  signer: SoftKeyPair,
  signatureAlgorithm: SignatureAlgorithm,
  fields: Omit<Parameters<typeof formatTbs>[0], "serial" | "signatureAlgorithm">,
): Uint8Array {
  const serial = Uint8Array.of(0x40, ...crypto.getRandomValues(new Uint8Array(19)));
  const tbs = formatTbs({ ...fields, serial, signatureAlgorithm });
  const hash = signatureAlgorithm === "ecdsa-sha384" ? "sha384" : "sha256";
  return formatCertificate(tbs, signatureAlgorithm, softSign(signer, tbs, hash));
}

/** Key usage of a CA: keyCertSign and cRLSign. */
export const certSign: Extension = {
  oid: extensionOids.keyUsage,
  critical: true,
  value: der.bitString(Uint8Array.of(0x06), 1),
};

/** Code signing and nothing else. */
export const codeSigning: Extension = {
  oid: extensionOids.extendedKeyUsage,
  critical: false,
  value: der.sequence(der.oid(keyPurposes.codeSigning)),
};

/** CA:TRUE, with a path length unless null. */
export function basicConstraints(pathLength: bigint | null): Extension {
  const length = pathLength === null ? [] : [der.integer(pathLength)];
  const value = der.sequence(der.boolean(true), ...length);
  return { oid: extensionOids.basicConstraints, critical: true, value };
}

/** The subject key identifier of a key. */
export function subjectKeyId(spki: Uint8Array): Extension {
  const value = der.octetString(keyIdentifier(spki));
  return { oid: extensionOids.subjectKeyIdentifier, critical: false, value };
}
