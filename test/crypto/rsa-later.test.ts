import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { expect, test } from "vitest";
import { loadAddon } from "../../core/crypto/addon.ts";
import { gatheredRsaVerifier } from "../../core/crypto/rsa-later.ts";
import { sha256 } from "../../core/crypto/hash.ts";
import { encodeBase64Url, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { readCases } from "./wycheproof.ts";

function keyOf(spki: Uint8Array) {
  return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
}

test("what comes in one turn is answered as Wycheproof has it, each for itself", async () => {
  const verify = gatheredRsaVerifier();
  const keys = new Map<string, ReturnType<typeof keyOf>>();
  const cases = readCases("rsa_signature_2048_sha256").filter(({ hash }) => hash === "sha256");
  expect(cases.length).toBeGreaterThan(100);
  const answers = await Promise.all(
    cases.map(async ({ spki, message, signature }) => {
      const name = encodeHex(spki);
      const key = keys.get(name) ?? keyOf(spki);
      keys.set(name, key);
      return await verify(key, message, signature);
    }),
  );
  const wrong = cases.filter(({ result }, at) => answers[at] !== (result === "valid"));
  expect(wrong.map(({ id }) => id)).toEqual([]);
});

const message = encodeUtf8("header.claims");
const pairs = [2_048, 3_072].map((modulusLength) => generateKeyPairSync("rsa", { modulusLength }));

test.each([1, 3, 4, 16, 17, 40])("of %i at once each gets its own answer", async (count) => {
  const verify = gatheredRsaVerifier();
  const answers = await Promise.all(
    Array.from({ length: count }, async (_, at) => {
      const [own, other] = at % 2 === 0 ? pairs : pairs.toReversed();
      if (own === undefined || other === undefined) throw new Error("there are two pairs");
      const signer = at % 3 === 2 ? other : own;
      const signature = new Uint8Array(sign("sha256", message, signer.privateKey));
      return await verify(own.publicKey, at % 5 === 4 ? encodeUtf8("else") : message, signature);
    }),
  );
  expect(answers).toEqual(Array.from({ length: count }, (_, at) => at % 3 !== 2 && at % 5 !== 4));
});

test("a key that the addon does not take is verified with all the same", async () => {
  const verify = gatheredRsaVerifier();
  const n = encodeBase64Url(new Uint8Array(1_024).fill(0xff));
  const key = createPublicKey({ key: { kty: "RSA", n, e: "AQAB" }, format: "jwk" });
  const all = Array.from(
    { length: 5 },
    async () => await verify(key, message, new Uint8Array(1_024)),
  );
  expect(await Promise.all(all)).toEqual(all.map(() => false));
});

test.runIf(loadAddon() !== null)(
  "the addon keeps RSA keys alone, and verifies with no others",
  () => {
    const addon = loadAddon();
    const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    expect(addon?.keepRsa(publicKey.export({ format: "der", type: "spki" }))).toBeNull();
    expect(addon?.keepRsa(Uint8Array.of(0x30, 0x00))).toBeNull();
    const digest = sha256(message);
    expect(() => addon?.verifyRsaMany([{}], [digest], [digest])).toThrow(TypeError);
    expect(() => addon?.verifyRsaMany([], [], [])).toThrow(TypeError);
    const kept = addon?.keepRsa(
      pairs[0]?.publicKey.export({ format: "der", type: "spki" }) ?? new Uint8Array(),
    );
    expect(() => addon?.verifyRsaMany([kept ?? {}], [digest.subarray(1)], [digest])).toThrow(
      TypeError,
    );
  },
);
