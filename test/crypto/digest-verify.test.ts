import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { fc, test as property } from "../support/fixed-draws.ts";
import { describe, expect, test } from "vitest";
import {
  verifyDigest,
  verifyDigestNative,
  verifyDigestPure,
} from "../../core/crypto/digest-verify.ts";
import { loadAddon } from "../../core/crypto/addon.ts";
import { digest, type HashName, hashLengths } from "../../core/crypto/hash.ts";
import {
  defaultHashes,
  importPublicKey,
  KeyInsecure,
  type PublicKey,
} from "../../core/crypto/keys.ts";
import { verifyOnce } from "../../core/crypto/once-verify.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import { concat, uintBytes } from "../../core/formats/encoding.ts";
import { readCases } from "./wycheproof.ts";

const files = [
  "ecdsa_secp256r1_sha256",
  "ecdsa_secp384r1_sha256",
  "ecdsa_secp384r1_sha384",
  "ecdsa_secp521r1_sha512",
  "rsa_signature_2048_sha256",
] as const;
const native = verifyDigestNative ?? verifyDigestPure;

test("the addon is built and loads", () => {
  expect(verifyDigestNative).not.toBeNull();
  expect(verifyDigest).toBe(verifyDigestNative);
});

describe.each(files)("%s", (file) => {
  const cases = readCases(file);

  test("holds cases", () => expect(cases.length).toBeGreaterThan(200));

  test("addon, pure code and node agree with Wycheproof", () => {
    const wrong: string[] = [];
    let key: PublicKey | undefined;
    for (const { id, spki, hash, message, signature, result } of cases) {
      if (key?.spki !== spki) key = importAny(spki);
      const name = hash as HashName; // the files are chosen by these hashes
      const hashed = digest(name, message);
      const answers = [
        native(key, name, hashed, signature),
        verifyDigestPure(key, name, hashed, signature),
        verifySignature(key, message, signature, name),
        // By the hash that goes with the key, which is not every file's.
        ...(defaultHashes[key.algorithm] === name ? [verifyOnce(key, message, signature)] : []),
      ];
      if (answers.some((answer) => answer !== (result === "valid"))) {
        wrong.push(`${id}: ${result}, but ${answers.join()}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

test("ed25519 agrees with Wycheproof", () => {
  const cases = readCases("ed25519");
  expect(cases.length).toBeGreaterThan(100);
  for (const { id, spki, message, signature, result } of cases) {
    const key = importPublicKey(spki);
    expect(verifySignature(key, message, signature), id).toBe(result === "valid");
    expect(verifyOnce(key, message, signature), id).toBe(result === "valid");
    expect(verifyDigest(key, "sha512", digest("sha512", message), signature)).toBe(false);
  }
});

const pairs = {
  "ecdsa-p256": generateKeyPairSync("ec", { namedCurve: "P-256" }),
  "ecdsa-p384": generateKeyPairSync("ec", { namedCurve: "P-384" }),
  "ecdsa-p521": generateKeyPairSync("ec", { namedCurve: "P-521" }),
  "rsa-2048": generateKeyPairSync("rsa", { modulusLength: 2048 }),
  "rsa-3072": generateKeyPairSync("rsa", { modulusLength: 3072 }),
} as const;
const keys = Object.values(pairs).map(({ publicKey, privateKey }) => ({
  privateKey,
  key: importPublicKey(new Uint8Array(publicKey.export({ format: "der", type: "spki" }))),
}));
const hashNames = Object.keys(hashLengths) as HashName[]; // keys of a const object

property.prop([
  fc.constantFrom(...keys),
  fc.constantFrom(...hashNames),
  fc.uint8Array({ maxLength: 40 }),
])("every key over every hash", ({ key, privateKey }, hash, message) => {
  const signature = new Uint8Array(sign(hash, message, privateKey));
  const hashed = digest(hash, message);
  expect(native(key, hash, hashed, signature)).toBe(true);
  expect(verifyDigestPure(key, hash, hashed, signature)).toBe(true);
  expect(verifySignature(key, message, signature, hash)).toBe(true);
});

property.prop([fc.constantFrom(...keys), fc.nat(), fc.integer({ min: 1, max: 255 })])(
  "a changed byte is refused by both",
  ({ key, privateKey }, at, flip) => {
    const message = Uint8Array.of(1, 2, 3);
    const signature = new Uint8Array(sign("sha256", message, privateKey));
    const where = at % signature.length;
    signature[where] = (signature[where] ?? 0) ^ flip;
    const hashed = digest("sha256", message);
    expect(native(key, "sha256", hashed, signature)).toBe(false);
    expect(verifyDigestPure(key, "sha256", hashed, signature)).toBe(false);
  },
);

test.each([
  ["an empty signature", (signature: Uint8Array) => signature.subarray(0, 0)],
  ["a short signature", (signature: Uint8Array) => signature.subarray(1)],
  ["a trailing byte", (signature: Uint8Array) => concat(signature, Uint8Array.of(0))],
  ["a leading zero", (signature: Uint8Array) => concat(Uint8Array.of(0), signature)],
])("%s is refused for every key by both", (_, change) => {
  for (const { key, privateKey } of keys) {
    const signature = change(new Uint8Array(sign("sha256", Uint8Array.of(1), privateKey)));
    const hashed = digest("sha256", Uint8Array.of(1));
    expect(native(key, "sha256", hashed, signature)).toBe(false);
    expect(verifyDigestPure(key, "sha256", hashed, signature)).toBe(false);
  }
});

test("a digest of the wrong length is refused by both", () => {
  for (const { key, privateKey } of keys) {
    const message = Uint8Array.of(7);
    const signature = new Uint8Array(sign("sha384", message, privateKey));
    const hashed = digest("sha384", message);
    expect(native(key, "sha256", hashed, signature)).toBe(false);
    expect(verifyDigestPure(key, "sha256", hashed, signature)).toBe(false);
  }
});

test("the addon itself refuses a digest of the wrong length, also one that anybody can sign", () => {
  const addon = loadAddon();
  for (const { key, privateKey } of keys) {
    const message = Uint8Array.of(7);
    const signature = new Uint8Array(sign("sha256", message, privateKey));
    const hashed = digest("sha256", message);
    expect(addon?.verify(key.spki, "sha256", hashed, signature)).toBe(true);
    for (const hash of ["sha384", "sha512"] as const) {
      expect(addon?.verify(key.spki, hash, hashed, signature)).toBe(false);
    }
    for (const other of [hashed.subarray(1), concat(hashed, Uint8Array.of(0)), new Uint8Array()]) {
      expect(addon?.verify(key.spki, "sha256", other, signature)).toBe(false);
    }
  }
  // Of an empty digest ECDSA takes 0, and then the key's own x is r and s of a valid signature.
  const { publicKey } = pairs["ecdsa-p256"];
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const x = BigInt(`0x${spki.subarray(27, 59).toHex()}`) % order;
  const number = concat(Uint8Array.of(0), uintBytes(x, 32));
  const first = number.findIndex((byte, at) => byte !== 0 || (number[at + 1] ?? 0) >= 128);
  const integer = concat(Uint8Array.of(2, number.length - first), number.subarray(first));
  const forged = concat(Uint8Array.of(0x30, 2 * integer.length), integer, integer);
  expect(addon?.verify(spki, "sha256", new Uint8Array(), forged)).toBe(false);
});

/** Wycheproof also uses RSA keys with exponent 3, which the policy refuses; the verifiers must be right about them all the same. */
function importAny(spki: Uint8Array): PublicKey {
  try {
    return importPublicKey(spki);
  } catch (refused) {
    if (!(refused instanceof KeyInsecure)) throw refused;
    const keyObject = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    return { algorithm: "rsa-2048", spki, keyObject };
  }
}
