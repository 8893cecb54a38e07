/** The attributes with which key pairs are generated. Every attribute is said, so that no device's default decides. */
import pkcs11js from "pkcs11js";
import * as der from "../core/formats/der.ts";

/** Kinds of key pair. */
export type KeyAlgorithm =
  "ecdsa-p256" | "ecdsa-p384" | "rsa-2048" | "rsa-3072" | "rsa-4096" | "ed25519";

/** Mechanisms of PKCS#11 v3.0 §2.3, whose names the package, which follows v2.40, does not have. */
export const edwards = {
  CKM_EC_EDWARDS_KEY_PAIR_GEN: 0x1055,
  /** Without parameters it is pure Ed25519 (RFC 8032 §5.1). */
  CKM_EDDSA: 0x1057,
} as const;

/** DER of the named curves (RFC 5480 §2.1.1.1, RFC 8410 §3). */
export const curves = {
  p256: Buffer.from(der.oid("1.2.840.10045.3.1.7")),
  p384: Buffer.from(der.oid("1.3.132.0.34")),
  ed25519: Buffer.from(der.oid("1.3.101.112")),
};

/** What a pair is to be. */
export interface PairTemplate {
  readonly algorithm: KeyAlgorithm;
  readonly label: string;
  readonly id: Uint8Array;
}

/** Mechanism and both templates of C_GenerateKeyPair. */
export function pairTemplates(pair: PairTemplate) {
  const id = Buffer.from(pair.id);
  const rsa = pair.algorithm.startsWith("rsa-");
  const publicTemplate = [
    { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PUBLIC_KEY },
    { type: pkcs11js.CKA_TOKEN, value: true },
    { type: pkcs11js.CKA_PRIVATE, value: false },
    { type: pkcs11js.CKA_LABEL, value: pair.label },
    { type: pkcs11js.CKA_ID, value: id },
    { type: pkcs11js.CKA_VERIFY, value: true },
    { type: pkcs11js.CKA_ENCRYPT, value: false },
    { type: pkcs11js.CKA_WRAP, value: false },
    { type: pkcs11js.CKA_MODIFIABLE, value: false },
    ...(rsa
      ? [
          { type: pkcs11js.CKA_MODULUS_BITS, value: Number(pair.algorithm.slice(4)) },
          { type: pkcs11js.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) },
        ]
      : [
          {
            type: pkcs11js.CKA_EC_PARAMS,
            value: curveOf(pair.algorithm),
          },
        ]),
  ];
  const privateTemplate = [
    { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
    { type: pkcs11js.CKA_TOKEN, value: true },
    { type: pkcs11js.CKA_PRIVATE, value: true },
    { type: pkcs11js.CKA_LABEL, value: pair.label },
    { type: pkcs11js.CKA_ID, value: id },
    { type: pkcs11js.CKA_SENSITIVE, value: true },
    { type: pkcs11js.CKA_EXTRACTABLE, value: false },
    { type: pkcs11js.CKA_SIGN, value: true },
    { type: pkcs11js.CKA_SIGN_RECOVER, value: false },
    { type: pkcs11js.CKA_DECRYPT, value: false },
    { type: pkcs11js.CKA_UNWRAP, value: false },
    { type: pkcs11js.CKA_DERIVE, value: false },
    { type: pkcs11js.CKA_MODIFIABLE, value: false },
  ];
  const mechanism = rsa
    ? pkcs11js.CKM_RSA_PKCS_KEY_PAIR_GEN
    : pair.algorithm === "ed25519"
      ? edwards.CKM_EC_EDWARDS_KEY_PAIR_GEN
      : pkcs11js.CKM_EC_KEY_PAIR_GEN;
  return { mechanism: { mechanism }, publicTemplate, privateTemplate };
}

function curveOf(algorithm: KeyAlgorithm): Buffer {
  if (algorithm === "ed25519") return curves.ed25519;
  return algorithm === "ecdsa-p256" ? curves.p256 : curves.p384;
}

/** The name of an object class, from the attribute as the device gives it: a number in the machine's order. */
export function className(value: Uint8Array | null): string {
  const names = ["data", "certificate", "public key", "private key", "secret key"];
  return (value && names[value[0] ?? names.length]) ?? "another";
}

/** The PKCS#11 name of an attribute or mechanism, or its number. */
export function nameOf(prefix: "CKA_" | "CKM_" | "CKU_", code: number): string {
  // Old names of the same number come first: CKA_ECDSA_PARAMS before CKA_EC_PARAMS.
  const named = Object.entries({ ...edwards, ...pkcs11js }).findLast(
    ([name, value]) => name.startsWith(prefix) && value === code,
  );
  return named?.[0] ?? `${prefix}${code}`;
}
