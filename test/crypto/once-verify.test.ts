import { generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, test } from "vitest";
import { loadAddon } from "../../core/crypto/addon.ts";
import { digest, sha256 } from "../../core/crypto/hash.ts";
import { defaultHashes, importPublicKey, type PublicKey } from "../../core/crypto/keys.ts";
import { gatheredVerifier } from "../../core/crypto/once-verify.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { readCases } from "./wycheproof.ts";

const files = [
  "ecdsa_secp256r1_sha256",
  "ecdsa_secp384r1_sha384",
  "rsa_signature_2048_sha256",
  "ed25519",
] as const;

/** Cases of vectors with a key of which the hash is the one that goes with it. */
function casesOf(file: (typeof files)[number]) {
  const known = new Map<Uint8Array, PublicKey | null>();
  const keyOf = (spki: Uint8Array): PublicKey | null => {
    try {
      return importPublicKey(spki);
    } catch {
      return null;
    }
  };
  return readCases(file).flatMap(({ spki, ...one }) => {
    if (!known.has(spki)) known.set(spki, keyOf(spki));
    const key = known.get(spki) ?? null;
    const isOurs = key !== null && [null, one.hash].includes(defaultHashes[key.algorithm]);
    return isOurs ? [{ ...one, key }] : [];
  });
}

describe.each(files)("%s", (file) => {
  test("what comes in one turn is answered as Wycheproof has it, each for itself", async () => {
    const verify = gatheredVerifier();
    const cases = casesOf(file);
    expect(cases.length).toBeGreaterThan(100);
    const answers = await Promise.all(
      cases.map(async ({ key, message, signature }) => await verify(key, message, signature)),
    );
    const wrong = cases.filter(({ result }, at) => answers[at] !== (result === "valid"));
    expect(wrong.map(({ id }) => id)).toEqual([]);
  });
});

const message = encodeUtf8("alice@example.com");
const people = Array.from({ length: 40 }, () => {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  return {
    key: importPublicKey(spki),
    signature: new Uint8Array(sign("sha256", message, privateKey)),
  };
});

test.each([1, 3, 4, 16, 17, 40])("of %i at once each gets its own answer", async (count) => {
  const verify = gatheredVerifier();
  const some = people.slice(0, count);
  const answers = some.map(async ({ key, signature }, at) =>
    // Every third holds somebody else's signature.
    at % 3 === 1
      ? await verify(key, message, people[(at + 1) % people.length]?.signature ?? signature)
      : await verify(key, message, signature),
  );
  expect(await Promise.all(answers)).toEqual(some.map((_, at) => at % 3 !== 1));
});

test("a point that is on no curve proves nothing, and does not spoil the others", async () => {
  const verify = gatheredVerifier();
  const [first] = people;
  if (first === undefined) throw new Error("there are people");
  const spki = Uint8Array.from(first.key.spki);
  spki[spki.length - 1] = (spki.at(-1) ?? 0) ^ 1;
  const off = { ...first.key, spki };
  const all = [{ ...first, key: off }, ...people];
  const answers = all.map(async ({ key, signature }) => await verify(key, message, signature));
  expect(await Promise.all(answers)).toEqual([false, ...people.map(() => true)]);
});

describe("the addon's verifyMany", () => {
  const addon = loadAddon();
  if (addon === null) throw new Error("the addon is not built");
  const digests = people.map(() => sha256(message));
  const keys = people.map(({ key }) => key.spki);
  const signatures = people.map(({ signature }) => signature);

  test("takes keys of P-256 only, and no signature of another length", async () => {
    const other = new Uint8Array(
      generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({
        format: "der",
        type: "spki",
      }),
    );
    const [signature = new Uint8Array()] = signatures;
    const odd = [other, new Uint8Array(91), new Uint8Array(), keys[0] ?? other, keys[0] ?? other];
    const claimed = [signature, signature, signature, new Uint8Array(200), new Uint8Array()];
    const five = digests.slice(0, 5);
    expect(await addon.verifyMany(odd, five, claimed)).toEqual([false, false, false, false, false]);
  });

  test("answers what was asked, whatever becomes of the arrays", async () => {
    const mine = keys.map((key) => Uint8Array.from(key));
    const answers = addon.verifyMany(mine, digests, signatures);
    for (const key of mine) key.fill(0);
    expect(await answers).toEqual(people.map(() => true));
  });

  test("refuses what is no question", () => {
    const short = digests.slice(1);
    const long = [digest("sha384", message), ...short];
    const ask = (...[all, hashes, made]: Parameters<typeof addon.verifyMany>) =>
      addon.verifyMany(all, hashes, made);
    expect(() => ask([], [], [])).toThrow(TypeError);
    expect(() => ask(keys, short, signatures)).toThrow(TypeError);
    expect(() => ask(keys, long, signatures)).toThrow(TypeError);
    expect(() => ask(keys.slice(1), digests, signatures)).toThrow(TypeError);
    // @ts-expect-error: a string is no array of bytes.
    expect(() => ask("keys", digests, signatures)).toThrow(TypeError);
  });
});
