import { generateKeyPairSync, sign } from "node:crypto";
import { fc, test as property } from "../support/fixed-draws.ts";
import { expect, test } from "vitest";
import { verifyDigestPure } from "../../core/crypto/digest-verify.ts";
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import {
  type PinnedVerifier,
  pinnedByNode,
  pinnedNative,
  pinnedVerifier,
} from "../../core/crypto/pinned-verify.ts";
import { concat, encodeHex, uintBytes, uintFrom } from "../../core/formats/encoding.ts";
import * as der from "../../core/formats/der.ts";
import { readCases } from "./wycheproof.ts";

const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

function native(key: Uint8Array): PinnedVerifier {
  const verifier = pinnedNative(key);
  if (verifier === null) throw new Error("the addon is not built, or does not know the key");
  return verifier;
}

test("table and node agree with Wycheproof about P-256", () => {
  const cases = readCases("ecdsa_secp256r1_sha256");
  expect(cases.length).toBeGreaterThan(200);
  const wrong: string[] = [];
  // A table takes a while: of the many keys that have one case each, every eighth gets one,
  // and so does the second, which has most.
  const keys = [...new Set(cases.map(({ spki: key }) => encodeHex(key)))];
  const chosen = new Set(keys.filter((_, at) => at % 8 === 1));
  const verifiers = new Map<string, readonly PinnedVerifier[]>();
  for (const { id, spki: key, message, signature, result } of cases) {
    const name = encodeHex(key);
    if (!chosen.has(name)) continue;
    const made = verifiers.get(name) ?? [native(key), pinnedByNode(key, "sha256")];
    verifiers.set(name, made);
    const answers = made.map((verify) => verify(message, signature, sha256(message)));
    if (answers.some((answer) => answer !== (result === "valid"))) {
      wrong.push(`${id}: ${result}, but ${answers.join()}`);
    }
  }
  expect(wrong).toEqual([]);
});

const verify = native(spki);

property.prop([fc.uint8Array({ maxLength: 40 }), fc.nat(31), fc.integer({ min: 1, max: 255 })])(
  "takes what the key signed, and nothing else",
  (message, at, flip) => {
    const signature = new Uint8Array(sign("sha256", message, privateKey));
    const digest = sha256(message);
    expect(verify(message, signature, digest)).toBe(true);
    const other = digest.with(at, (digest[at] ?? 0) ^ flip);
    expect(verify(message, signature, other)).toBe(false);
    const damaged = signature.slice();
    const place = damaged.length - 1 - at;
    damaged[place] = (damaged[place] ?? 0) ^ flip;
    expect(verify(message, damaged, digest)).toBe(
      verifyDigestPure(importPublicKey(spki), "sha256", digest, damaged),
    );
  },
);

test("is right where the sum's terms meet or vanish", () => {
  const key = importPublicKey(spki);
  // Digests of 0 and of the order leave the key's term alone.
  for (const number of [0n, order, order - 1n, 1n]) {
    const digest = uintBytes(number, 32);
    for (const [r, s] of [
      [1n, 1n],
      [order - 1n, 1n],
      [2n, order - 1n],
    ] as const) {
      const signature = der.sequence(der.integer(r), der.integer(s));
      expect(verify(digest, signature, digest)).toBe(
        verifyDigestPure(key, "sha256", digest, signature),
      );
    }
  }
});

test("knows the generator as a key, whose two terms are of one point", () => {
  // The key 1: u1·G + u2·G, and with s = e + r the sum is G, whose x-coordinate is r.
  const generator = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
  const y = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
  const point = Uint8Array.fromHex(`04${generator}${y}`);
  const one = concat(spki.subarray(0, spki.length - 65), point);
  const r = uintFrom(Uint8Array.fromHex(generator)) % order;
  for (const e of [0n, r, 5n, order - r - 1n]) {
    const s = (e + r) % order;
    const signature = der.sequence(der.integer(r), der.integer(s));
    const digest = uintBytes(e, 32);
    expect(native(one)(digest, signature, digest)).toBe(s !== 0n);
  }
  // s = 1 and e = -r: the terms cancel out, and the sum is no point.
  const cancelled = der.sequence(der.integer(r), der.integer(1n));
  const digest = uintBytes(order - r, 32);
  expect(native(one)(digest, cancelled, digest)).toBe(false);
});

test("takes one encoding of a signature only", () => {
  const message = Uint8Array.of(1);
  const digest = sha256(message);
  const signature = new Uint8Array(sign("sha256", message, privateKey));
  expect(verify(message, concat(signature, Uint8Array.of(0)), digest)).toBe(false);
  expect(verify(message, signature.subarray(0, -1), digest)).toBe(false);
  expect(verify(message, new Uint8Array(), digest)).toBe(false);
  expect(verify(message, new Uint8Array(100_000).fill(0x30), digest)).toBe(false);
  const [head = 0, length = 0, ...rest] = signature;
  expect(verify(message, Uint8Array.of(head, 0x81, length, ...rest), digest)).toBe(false);
});

test("changes to the table when a key has come often enough, and not to another answer", () => {
  const message = Uint8Array.of(7);
  const digest = sha256(message);
  const signature = new Uint8Array(sign("sha256", message, privateKey));
  const pinned = pinnedVerifier(spki, "sha256");
  for (let round = 0; round < 1_010; round++) {
    expect(pinned(message, signature, digest)).toBe(true);
    if (round % 100 === 0 || round > 990) {
      expect(pinned(digest, signature, sha256(digest))).toBe(false);
    }
  }
});

test("leaves keys of other kinds, and what is no point of the curve, to node", () => {
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const message = Uint8Array.of(1, 2, 3);
  for (const [pair, hash] of [
    [p384, "sha384"],
    [rsa, "sha256"],
  ] as const) {
    const key = new Uint8Array(pair.publicKey.export({ format: "der", type: "spki" }));
    expect(pinnedNative(key)).toBeNull();
    const signature = new Uint8Array(sign(hash, message, pair.privateKey));
    expect(pinnedVerifier(key, hash)(message, signature, sha256(message))).toBe(true);
    expect(pinnedVerifier(key, hash)(Uint8Array.of(9), signature, sha256(message))).toBe(false);
  }
  const nowhere = spki.slice();
  nowhere[nowhere.length - 1] = (nowhere.at(-1) ?? 0) ^ 1;
  expect(pinnedNative(nowhere)).toBeNull();
});
