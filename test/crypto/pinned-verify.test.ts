import { generateKeyPairSync, sign } from "node:crypto";
import { fc, test as property } from "../support/fixed-draws.ts";
import { expect, test } from "vitest";
import { verifyDigestPure } from "../../core/crypto/digest-verify.ts";
import { digest as digestOf, sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import {
  type PinnedVerifier,
  pinnedByNode,
  pinnedNative,
  pinnedVerifier,
} from "../../core/crypto/pinned-verify.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import { concat, encodeHex, uintBytes, uintFrom } from "../../core/formats/encoding.ts";
import * as der from "../../core/formats/der.ts";
import { readCases } from "./wycheproof.ts";

/** Order and generator (SEC 2, version 2.0, §2.4.2 and §2.5.1). */
const curves = {
  "P-256": {
    hash: "sha256",
    octets: 32,
    vectors: "ecdsa_secp256r1_sha256",
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    x: "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    y: "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    uses: 1_000,
  },
  "P-384": {
    hash: "sha384",
    octets: 48,
    vectors: "ecdsa_secp384r1_sha384",
    order:
      0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    x: "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
    y: "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
    uses: 50,
  },
} as const;
const names = ["P-256", "P-384"] as const;

function native(key: Uint8Array, hash: "sha256" | "sha384"): PinnedVerifier {
  const verifier = pinnedNative(key, hash);
  if (verifier === null) throw new Error("the addon is not built, or does not know the key");
  return verifier;
}

const samples = { "P-256": sampleOf("P-256"), "P-384": sampleOf("P-384") };

/** A pair of keys on a curve, and its public half with tables. */
function sampleOf(name: keyof typeof curves) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: name });
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  const { hash } = curves[name];
  return {
    ...curves[name],
    spki,
    hashed: (message: Uint8Array): Uint8Array => digestOf(hash, message),
    signed: (message: Uint8Array): Uint8Array => new Uint8Array(sign(hash, message, privateKey)),
    ...native(spki, hash),
  };
}

test.each(names)("a key of %s: table and node agree with Wycheproof", (name) => {
  const { hash, vectors, hashed } = samples[name];
  const cases = readCases(vectors);
  expect(cases.length).toBeGreaterThan(200);
  const wrong: string[] = [];
  // A table takes a while: of the many keys that have one case each, every eighth gets one,
  // and so does the second, which has most.
  const keys = [...new Set(cases.map(({ spki: key }) => encodeHex(key)))];
  const chosen = new Set(keys.filter((_, at) => at % 8 === 1));
  const verifiers = new Map<string, readonly PinnedVerifier[]>();
  for (const { id, spki: key, message, signature, result } of cases) {
    const known = encodeHex(key);
    if (!chosen.has(known)) continue;
    const made = verifiers.get(known) ?? [native(key, hash), pinnedByNode(key, hash)];
    verifiers.set(known, made);
    const answers = made.map((one) => one.verify(message, signature, hashed(message)));
    if (answers.some((answer) => answer !== (result === "valid"))) {
      wrong.push(`${id}: ${result}, but ${answers.join()}`);
    }
  }
  expect(wrong).toEqual([]);
});

test.each(names)(
  "a key of %s: another thread decides as this one does, about each of many",
  async (name) => {
    const { verify, many, hashed, signed } = samples[name];
    const messages = Array.from({ length: 20 }, (_, at) => Uint8Array.of(at));
    const digests = messages.map(hashed);
    const signatures = messages.map((message, at) => {
      const good = signed(message);
      // Every kind of bad one among good ones.
      if (at % 7 === 3) return good.with(good.length - 1, (good.at(-1) ?? 0) ^ 1);
      if (at % 7 === 5) return at % 2 === 0 ? new Uint8Array() : new Uint8Array(500).fill(0x30);
      return at % 7 === 6 ? der.sequence(der.integer(0n), der.integer(1n)) : good;
    });
    const here = messages.map((message, at) =>
      verify(message, signatures[at] ?? new Uint8Array(), digests[at] ?? new Uint8Array()),
    );
    expect(here.filter(Boolean)).toHaveLength(12);
    expect(await many?.verify(digests, signatures)).toEqual(here);
    const bad = signatures.filter((_, at) => here[at] === false);
    const theirs = digests.filter((_, at) => here[at] === false);
    expect(await many?.verify(theirs, bad)).toEqual(bad.map(() => false));
  },
);

test.each(names)("a key of %s: refuses to be used wrongly", async (name) => {
  const { verify, many, hashed } = samples[name];
  const digest = hashed(Uint8Array.of(1));
  const decide = async (digests: readonly Uint8Array[], signatures: readonly Uint8Array[]) =>
    await many?.verify(digests, signatures);
  await expect(decide([], [])).rejects.toThrow(TypeError);
  await expect(decide([digest], [])).rejects.toThrow(TypeError);
  await expect(decide([digest.subarray(1)], [digest])).rejects.toThrow(TypeError);
  expect(() => verify(digest, digest, digest.subarray(1))).toThrow(TypeError);
});

test.each(names)("a key of %s: is right where the sum's terms meet or vanish", (name) => {
  const { hash, octets, order, spki, verify } = samples[name];
  const key = importPublicKey(spki);
  // Digests of 0 and of the order leave the key's term alone.
  for (const number of [0n, order, order - 1n, 1n]) {
    const digest = uintBytes(number, octets);
    for (const [r, s] of [
      [1n, 1n],
      [order - 1n, 1n],
      [2n, order - 1n],
    ] as const) {
      const signature = der.sequence(der.integer(r), der.integer(s));
      expect(verify(digest, signature, digest)).toBe(
        verifyDigestPure(key, hash, digest, signature),
      );
    }
  }
});

test.each(names)(
  "a key of %s: knows the generator as a key, whose two terms are of one point",
  (name) => {
    const { hash, octets, order, spki, x, y } = samples[name];
    // The key 1: u1·G + u2·G, and with s = e + r the sum is G, whose x-coordinate is r.
    const point = Uint8Array.fromHex(`04${x}${y}`);
    const one = native(concat(spki.subarray(0, spki.length - point.length), point), hash);
    const r = uintFrom(Uint8Array.fromHex(x)) % order;
    for (const e of [0n, r, 5n, order - r - 1n]) {
      const s = (e + r) % order;
      const signature = der.sequence(der.integer(r), der.integer(s));
      const digest = uintBytes(e, octets);
      expect(one.verify(digest, signature, digest)).toBe(s !== 0n);
    }
    // s = 1 and e = -r: the terms cancel out, and the sum is no point.
    const cancelled = der.sequence(der.integer(r), der.integer(1n));
    const digest = uintBytes(order - r, octets);
    expect(one.verify(digest, cancelled, digest)).toBe(false);
  },
);

test.each(names)("a key of %s: takes one encoding of a signature only", (name) => {
  const { verify, hashed, signed } = samples[name];
  const message = Uint8Array.of(1);
  const digest = hashed(message);
  const signature = signed(message);
  expect(verify(message, concat(signature, Uint8Array.of(0)), digest)).toBe(false);
  expect(verify(message, signature.subarray(0, -1), digest)).toBe(false);
  expect(verify(message, new Uint8Array(), digest)).toBe(false);
  expect(verify(message, new Uint8Array(100_000).fill(0x30), digest)).toBe(false);
  const [head = 0, length = 0, ...rest] = signature;
  expect(verify(message, Uint8Array.of(head, 0x81, length, ...rest), digest)).toBe(false);
});

test.each(names)(
  "a key of %s: changes to the table when it has come often enough, and not to another answer",
  (name) => {
    const { hash, uses, spki, hashed, signed } = samples[name];
    const message = Uint8Array.of(7);
    const digest = hashed(message);
    const signature = signed(message);
    const changing = pinnedVerifier(spki, hash);
    for (let round = 1; round <= uses + 2; round++) {
      expect(changing.many === null).toBe(round <= uses);
      expect(changing.verify(message, signature, digest)).toBe(true);
      if (round % 100 === 0) {
        expect(pinnedByNode(spki, hash).verify(digest, signature, hashed(digest))).toBe(false);
      }
    }
    expect(changing.verify(digest, signature, hashed(digest))).toBe(false);
  },
);

test.each(names)("a key of %s: is none if it is no point of the curve", (name) => {
  const { hash, spki } = samples[name];
  const nowhere = spki.slice();
  nowhere[nowhere.length - 1] = (nowhere.at(-1) ?? 0) ^ 1;
  expect(pinnedNative(nowhere, hash)).toBeNull();
});

property.prop([fc.uint8Array({ maxLength: 40 }), fc.nat(31), fc.integer({ min: 1, max: 255 })])(
  "takes what the key signed, and nothing else",
  (message, at, flip) => {
    for (const { hash, spki, hashed, signed, verify } of Object.values(samples)) {
      const signature = signed(message);
      const digest = hashed(message);
      expect(verify(message, signature, digest)).toBe(true);
      const other = digest.with(at, (digest[at] ?? 0) ^ flip);
      expect(verify(message, signature, other)).toBe(false);
      const damaged = signature.slice();
      const place = damaged.length - 1 - at;
      damaged[place] = (damaged[place] ?? 0) ^ flip;
      expect(verify(message, damaged, digest)).toBe(
        verifyDigestPure(importPublicKey(spki), hash, digest, damaged),
      );
    }
  },
);

test("leaves keys of other kinds to node", () => {
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const message = Uint8Array.of(1, 2, 3);
  for (const { publicKey, privateKey } of [p384, rsa]) {
    const key = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
    expect(pinnedNative(key, "sha256")).toBeNull();
    const signature = new Uint8Array(sign("sha256", message, privateKey));
    const { verify, many } = pinnedVerifier(key, "sha256");
    expect(verify(message, signature, sha256(message))).toBe(true);
    expect(verify(Uint8Array.of(9), signature, sha256(message))).toBe(false);
    expect(many).toBeNull();
  }
});

test("a key that comes again and again gets tables, and its answers stay what they were", async () => {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const key = importPublicKey(new Uint8Array(publicKey.export({ format: "der", type: "spki" })));
  const message = Uint8Array.of(1, 2, 3);
  const good = new Uint8Array(sign("sha384", message, privateKey));
  const other = new Uint8Array(sign("sha256", message, privateKey));
  const answers = (): readonly boolean[] => [
    verifySignature(key, message, good),
    verifySignature(key, message, good, "sha384"),
    verifySignature(key, message, other),
    verifySignature(key, message, other, "sha256"),
    verifySignature(key, Uint8Array.of(1, 2), good),
    verifySignature(key, message, new Uint8Array()),
    verifySignature(key, message, new Uint8Array(500).fill(0x30)),
  ];
  const expected = [true, true, false, true, false, false, false];
  expect(key.often?.()).toBeNull();
  // Each asks for tables six times; they come from another thread.
  for (let round = 0; round * 6 < curves["P-384"].uses; round++) {
    expect(answers()).toEqual(expected);
  }
  while (key.often?.() === null) await new Promise((resolve) => setImmediate(resolve));
  expect(answers()).toEqual(expected);
});

test("keys that there can be no tables for never get any", () => {
  const { publicKey } = generateKeyPairSync("ed25519");
  const key = importPublicKey(new Uint8Array(publicKey.export({ format: "der", type: "spki" })));
  for (let count = 0; count <= 1_000; count++) expect(key.often?.()).toBeNull();
});
