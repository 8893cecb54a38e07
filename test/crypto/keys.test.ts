import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { describe, expect, test } from "vitest";
import { importPublicKey, KeyInsecure } from "../../core/crypto/keys.ts";
import * as der from "../../core/formats/der.ts";
import { concat, decodeHex } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";

const spkiOf = (key: KeyObject) => new Uint8Array(key.export({ format: "der", type: "spki" }));
const ec = (namedCurve: string) => spkiOf(generateKeyPairSync("ec", { namedCurve }).publicKey);
const p256 = ec("P-256");

function rsa(modulus: bigint, exponent = 65_537n): Uint8Array {
  const key = der.sequence(der.integer(modulus), der.integer(exponent));
  const algorithm = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.nullValue());
  return der.sequence(algorithm, der.bitString(key));
}

const edwards = (key: Uint8Array) =>
  der.sequence(der.sequence(der.oid("1.3.101.112")), der.bitString(key));

/** A number of `bits` bits, odd and without factors below 752. */
function modulus(bits: number): bigint {
  let candidate = (1n << BigInt(bits)) - 1n;
  const hasSmallFactor = (value: bigint) => {
    for (let prime = 3n; prime < 752n; prime += 2n) if (value % prime === 0n) return true;
    return false;
  };
  while (hasSmallFactor(candidate)) candidate -= 2n;
  return candidate;
}

/** A modulus that looks as Infineon's generator made it: a power of 65537 to every one of the telling primes. */
function rocaModulus(): bigint {
  const primes = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
  const product = primes.reduce((all, prime) => all * BigInt(prime), 1n);
  let candidate = (1n << 2047n) / product;
  const isClean = (value: bigint) => {
    for (let prime = 2n; prime < 752n; prime++) if (value % prime === 0n) return false;
    return true;
  };
  do candidate++;
  while (!isClean(candidate * product + 65_537n));
  return candidate * product + 65_537n;
}

describe("accepts", () => {
  test.each([
    ["P-256", "ecdsa-p256"],
    ["P-384", "ecdsa-p384"],
    ["P-521", "ecdsa-p521"],
  ])("%s", (curve, algorithm) => {
    const spki = ec(curve);
    expect(importPublicKey(spki)).toMatchObject({ algorithm, spki });
  });

  test.each([2048, 3072, 4096])("RSA %i", (bits) => {
    expect(importPublicKey(rsa(modulus(bits))).algorithm).toBe(`rsa-${bits}`);
  });

  test("Ed25519", () => {
    const spki = spkiOf(generateKeyPairSync("ed25519").publicKey);
    expect(importPublicKey(spki)).toMatchObject({ algorithm: "ed25519", spki });
  });
});

describe("calls insecure", () => {
  test.each<[string, () => Uint8Array]>([
    ["RSA 512", () => rsa(modulus(512))],
    ["RSA 1024", () => rsa(modulus(1024))],
    ["RSA 1025", () => rsa(modulus(1025))],
    ["RSA 2047", () => rsa(modulus(2047))],
    ["RSA 2049", () => rsa(modulus(2049))],
    ["RSA 3071", () => rsa(modulus(3071))],
    ["RSA 4095", () => rsa(modulus(4095))],
    ["RSA 4097", () => rsa(modulus(4097))],
    ["RSA 16385", () => rsa(modulus(16_385))],
    ["exponent 1", () => rsa(modulus(2048), 1n)],
    ["exponent 3", () => rsa(modulus(2048), 3n)],
    ["exponent 65536", () => rsa(modulus(2048), 65_536n)],
    ["exponent 65539", () => rsa(modulus(2048), 65_539n)],
    ["a huge exponent", () => rsa(modulus(2048), 1n << 2000n)],
    ["an even modulus", () => rsa(modulus(2048) - 1n)],
    ["a small prime factor", () => rsa(751n * (modulus(2048) / 751n))],
    ["a ROCA modulus", () => rsa(rocaModulus())],
    ["secp256k1", () => ec("secp256k1")],
    ["P-224", () => ec("secp224r1")],
    ["X25519", () => spkiOf(generateKeyPairSync("x25519").publicKey)],
    ["Ed448", () => spkiOf(generateKeyPairSync("ed448").publicKey)],
    [
      "DSA",
      () =>
        spkiOf(generateKeyPairSync("dsa", { modulusLength: 1024, divisorLength: 160 }).publicKey),
    ],
    ["RSA-PSS", () => spkiOf(generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).publicKey)],
    ["ML-DSA", () => spkiOf(generateKeyPairSync("ml-dsa-44").publicKey)],
    [
      "a curve by its parameters",
      () =>
        spkiOf(
          generateKeyPairSync("ec", { namedCurve: "P-256", paramEncoding: "explicit" }).publicKey,
        ),
    ],
  ])("%s", (_, make) => {
    expect(() => importPublicKey(make())).toThrow(KeyInsecure);
  });

  test.each([
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  ])("the Ed25519 point of small order %s", (point) => {
    expect(() => importPublicKey(edwards(decodeHex(point)))).toThrow(KeyInsecure);
  });
});

describe("calls malformed", () => {
  test.each<[string, () => Uint8Array]>([
    ["nothing", () => new Uint8Array()],
    ["a trailing byte", () => concat(p256, Uint8Array.of(0))],
    ["a cut key", () => p256.subarray(0, -1)],
    ["a long length", () => concat(Uint8Array.of(0x30, 0x81), p256.subarray(1))],
    ["a point off the curve", () => p256.with(-1, (p256.at(-1) ?? 0) ^ 1)],
    ["the point at infinity", () => point(Uint8Array.of(0))],
    ["a compressed point", () => point(compressed())],
    ["a hybrid point", () => p256.with(26, 6)],
    ["coordinates of another curve", () => point(new Uint8Array(97).fill(4))],
    ["RSA without NULL", () => rsaWithoutNull()],
    ["a negative modulus", () => rsa(-modulus(2048))],
    ["Ed25519 of 31 bytes", () => edwards(new Uint8Array(31).fill(9))],
    ["Ed25519 with y above p", () => edwards(new Uint8Array(32).fill(0xff).with(31, 0x7f))],
    [
      "Ed25519 with y = p + 1",
      () =>
        edwards(concat(Uint8Array.of(0xee), new Uint8Array(30).fill(0xff), Uint8Array.of(0x7f))),
    ],
    [
      "Ed25519 with a negative zero",
      () => edwards(concat(Uint8Array.of(1), new Uint8Array(30), Uint8Array.of(0x80))),
    ],
    ["Ed25519 off the curve", () => edwards(offCurve())],
  ])("%s", (_, make) => {
    expect(() => importPublicKey(make())).toThrow(Malformed);
  });
});

function point(encoded: Uint8Array): Uint8Array {
  const algorithm = der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7"));
  return der.sequence(algorithm, der.bitString(encoded));
}

function compressed(): Uint8Array {
  return concat(Uint8Array.of(2 | ((p256.at(-1) ?? 0) & 1)), p256.subarray(27, 59));
}

function rsaWithoutNull(): Uint8Array {
  const key = der.sequence(der.integer(modulus(2048)), der.integer(65_537n));
  return der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1")), der.bitString(key));
}

function offCurve(): Uint8Array {
  const candidate = new Uint8Array(32);
  for (let y = 2; y < 256; y++) {
    candidate[0] = y;
    try {
      ed25519.Point.fromBytes(candidate);
    } catch {
      return candidate;
    }
  }
  throw new Error("every small y is on the curve");
}
