import { verify } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeUtf8, decodeUtf8 } from "../../core/formats/encoding.ts";
import { leafHash, nodeHash } from "../../core/formats/merkle.ts";
import { treeHeadSignatureInput } from "../../core/formats/sct.ts";
import { describeKey, lastSigned, sign } from "../../events/hsm.ts";
import { keyObject } from "../../hsm/public-key.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import { softVault, type SoftVault } from "../support/vault.ts";

const leaves = ["a", "b", "c"].map((text) => leafHash(encodeUtf8(text)));
const [one = new Uint8Array(), two = new Uint8Array(), three = new Uint8Array()] = leaves;
const rootOfTwo = new Uint8Array(nodeHash(one, two));
const rootOfThree = new Uint8Array(nodeHash(rootOfTwo, three));

let vault: SoftVault;
let installation: TestInstallation;

beforeAll(async () => {
  vault = await softVault();
  installation = await bootForTest({
    entries: [vault.entry],
    config: { hsm: vault.config },
    home: vault.home,
    pin: vault.pin,
  });
});

afterAll(async () => {
  await installation.dispose();
  vault.dispose();
});

test("describes a key", async () => {
  const key = await installation.ask(describeKey, { key: "ct-log" }, "log");
  expect(key.publicKey).toEqual(vault.keys["ct-log"]);
  expect(key.origin).toBe("localhost");
});

test("signs a checkpoint that grows, and again the same one, and says what it signed last", async () => {
  const grow = (size: bigint, root: Uint8Array, consistencyProof: Uint8Array[]) =>
    installation.ask(
      sign,
      {
        key: "rekor-v1-log",
        signable: { purpose: "checkpoint", size, root, consistencyProof },
      },
      "log",
    );
  const first = await grow(2n, rootOfTwo, []);
  expect(decodeUtf8(first.signed ?? new Uint8Array())).toContain("localhost - ");
  const key = keyObject(vault.keys["rekor-v1-log"] ?? new Uint8Array());
  const [signature = new Uint8Array()] = first.signatures;
  expect(verify("sha256", first.signed ?? new Uint8Array(), key, signature)).toBe(true);
  await grow(2n, rootOfTwo, []);
  await grow(3n, rootOfThree, [three]);
  const last = await installation.ask(lastSigned, { key: "rekor-v1-log" }, "log");
  expect(last).toEqual({ size: 3n, root: rootOfThree });
});

test.each([
  ["a smaller size", 1n, one, []],
  ["another root at the same size", 3n, rootOfTwo, []],
  ["a larger size without proof", 4n, rootOfTwo, []],
  ["a larger size with a false proof", 4n, rootOfTwo, [one]],
])("refuses %s", async (_, size, root, consistencyProof) => {
  await expect(
    installation.ask(
      sign,
      { key: "rekor-v1-log", signable: { purpose: "checkpoint", size, root, consistencyProof } },
      "log",
    ),
  ).rejects.toMatchObject({ code: "guard-refused" });
});

test("signs tree heads under the same guard state, and never of an earlier time", async () => {
  const head = (size: bigint, timestampMs: bigint, proof: Uint8Array[] = []) =>
    installation.ask(
      sign,
      {
        key: "ct-log",
        signable: {
          purpose: "treeHead",
          size,
          root: size === 2n ? rootOfTwo : rootOfThree,
          consistencyProof: proof,
          timestampMs,
        },
      },
      "log",
    );
  const { signatures } = await head(2n, 1_000n);
  const key = keyObject(vault.keys["ct-log"] ?? new Uint8Array());
  const message = treeHeadSignatureInput({ timestampMs: 1_000n, size: 2n, root: rootOfTwo });
  expect(verify("sha256", message, key, signatures[0] ?? new Uint8Array())).toBe(true);
  await expect(head(2n, 999n)).rejects.toMatchObject({ code: "guard-refused" });
  await expect(
    installation.ask(
      sign,
      {
        key: "ct-log",
        signable: { purpose: "checkpoint", size: 1n, root: one, consistencyProof: [] },
      },
      "log",
    ),
  ).rejects.toMatchObject({ code: "guard-refused" });
  await head(3n, 1_000n, [three]);
});

test("refuses another asker, another purpose and an unknown key", async () => {
  const question = {
    purpose: "scts" as const,
    entries: [{ kind: "certificate" as const, timestampMs: 1n, certificate: encodeUtf8("x") }],
  };
  await expect(
    installation.ask(sign, { key: "ct-log", signable: question }, "issuer"),
  ).rejects.toMatchObject({ code: "purpose-refused" });
  await expect(
    installation.ask(sign, { key: "rekor-v1-log", signable: question }, "log"),
  ).rejects.toMatchObject({ code: "purpose-refused" });
  await expect(
    installation.ask(sign, { key: "absent", signable: question }, "log"),
  ).rejects.toMatchObject({ code: "key-unavailable" });
});
