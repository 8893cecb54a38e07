import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { uintBytes } from "../../core/formats/encoding.ts";
import { sign } from "../../events/hsm.ts";
import { fsckVault } from "../../hsm/commands.ts";
import { Judged } from "../../hsm/judged.ts";
import { bootForTest } from "../support/boot.ts";
import { softVault } from "../support/vault.ts";
import { newLeaf, selfIssued, startedAt } from "./leaf.ts";

const judged = {
  verdict: new Uint8Array(32),
  mac: new Uint8Array(32),
  verifiedAtMs: 1n,
  notBefore: new Date(0),
  binding: { serial: "01", verdict: "02", tokenDigest: "03", publicKeyHash: "04" },
};
const most = 2_048;

test("gives what it keeps once", () => {
  const all = new Judged();
  expect(all.isEmpty).toBe(true);
  all.keep(uintBytes(7, 32), judged);
  expect(all.isEmpty).toBe(false);
  expect(all.take(uintBytes(8, 32))).toBeNull();
  expect(all.take(uintBytes(7, 32))).toBe(judged);
  expect(all.take(uintBytes(7, 32))).toBeNull();
});

test.each([
  ["keeps as many as it has room for", most, judged],
  ["forgets the oldest when there is one more", most + 1, null],
] as const)("%s", (_, count, first) => {
  const all = new Judged();
  for (let at = 0; at < count; at++) all.keep(uintBytes(at, 32), judged);
  expect(all.take(uintBytes(0, 32))).toBe(first);
  expect(all.take(uintBytes(1, 32))).toBe(judged);
  expect(all.take(uintBytes(count - 1, 32))).toBe(judged);
});

/** A vault of one issuing key, and a clock that stands until it is set. */
async function issuingVault() {
  const vault = await softVault({
    keys: [
      { label: "issuing-ca", purposes: ["certificate"], askers: ["issuer"], chain: selfIssued },
    ],
  });
  let now = startedAt;
  const { config, home, pin, entry } = vault;
  const clock = { now: () => now };
  const own = await bootForTest({ entries: [entry], config: { hsm: config }, home, pin, clock });
  return {
    leaf: () =>
      newLeaf(vault.keys["issuing-ca"] ?? new Uint8Array(), { atMs: startedAt.getTime() }),
    setClock: (to: Date) => (now = to),
    certify: async (
      tbs: Uint8Array,
      { verdict }: Pick<ReturnType<typeof newLeaf>, "verdict">,
    ): Promise<readonly Uint8Array[]> => {
      const signable = { purpose: "certificate" as const, tbs, verdict };
      return (await own.ask(sign, { key: "issuing-ca", signable }, "issuer")).signatures;
    },
    async [Symbol.asyncDispose]() {
      await own.dispose();
      const { findings } = await fsckVault({ home });
      expect(findings).toEqual([]);
      vault.dispose();
    },
  };
}

test("what was judged as a precertificate is good for its own certificate alone, under its own verdict", async () => {
  await using vault = await issuingVault();
  const { certify } = vault;
  const [leaf, other] = [vault.leaf(), vault.leaf()];
  await certify(leaf.pre, leaf);
  const spoilt = { verdict: { ...leaf.verdict, mac: randomBytes(32) } };
  await expect(certify(leaf.final, spoilt)).rejects.toMatchObject({ code: "purpose-refused" });
  await certify(other.pre, other);
  // Another's verdict, which is for the same key and the same principal.
  await expect(certify(other.final, leaf)).rejects.toMatchObject({ code: "guard-refused" });
  expect(await certify(other.final, other)).toHaveLength(1);
  await expect(certify(other.final, other)).rejects.toMatchObject({ code: "guard-refused" });
});

test("nothing in it may differ but the list of SCTs", async () => {
  await using vault = await issuingVault();
  const { certify } = vault;
  const leaf = vault.leaf();
  await certify(leaf.pre, leaf);
  const changed = Uint8Array.from(leaf.final);
  // Somewhere in the middle: whatever it is, it was not judged.
  const middle = changed.length >> 1;
  changed[middle] = (changed[middle] ?? 0) ^ 1;
  await expect(certify(changed, leaf)).rejects.toMatchObject({
    code: expect.stringMatching(/^(?:guard|lint|purpose)-refused$/) as string,
  });
  const relisted = Uint8Array.from(leaf.final);
  relisted[relisted.length - 1] = (relisted.at(-1) ?? 0) ^ 1;
  expect(await certify(relisted, leaf)).toHaveLength(1);
});

test("a verdict that has grown old since the precertificate is refused", async () => {
  await using vault = await issuingVault();
  const leaf = vault.leaf();
  await vault.certify(leaf.pre, leaf);
  vault.setClock(new Date(startedAt.getTime() + 61_000));
  await expect(vault.certify(leaf.final, leaf)).rejects.toMatchObject({ code: "purpose-refused" });
});
