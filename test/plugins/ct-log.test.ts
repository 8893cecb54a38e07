/** The CT log from outside: every endpoint over HTTP, two shards, a monitor's reading, and a restart. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { path, proof } from "../formats/naive-merkle.ts";
import type { Door } from "../support/door.ts";
import { CtHouse, expectSigned, getJson, monitor, postChain, signedBySct } from "./ct-house.ts";

const house = new CtHouse();
let door: Door;
const before = new Date(house.border.getTime() - 1_000);
const after = house.border;
const shards = [
  ["ct-a", before, house.vaults["key-a"]],
  ["ct-b", after, house.vaults["key-b"]],
] as const;

beforeAll(async () => {
  door = await house.open();
});
afterAll(async () => await door.dispose());

const baseOf = (log: string): string => `${door.origin}/logs/${log}/ct/v1`;
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

describe.each(shards)("%s", (log, notAfter, vault) => {
  test("takes what ends in its interval, and promises it with its own key", async () => {
    const { final, precertificate } = house.chains(notAfter);
    const pre = await postChain(`${baseOf(log)}/add-pre-chain`, precertificate);
    expect(Object.keys(pre.json)).toEqual([
      "sct_version",
      "id",
      "timestamp",
      "extensions",
      "signature",
    ]);
    expectSigned(signedBySct(pre.json, precertificate, true), pre.json.signature, vault.publicKey);
    const whole = await postChain(`${baseOf(log)}/add-chain`, final);
    expectSigned(signedBySct(whole.json, final, false), whole.json.signature, vault.publicKey);
    expect(whole.json.id).toBe(base64(vault.logId));
  });

  test("refuses what belongs to the other, and has not changed then", async () => {
    const [other] = shards.filter(([name]) => name !== log);
    const sizeOf = async (): Promise<unknown> => await getJson(`${baseOf(log)}/get-sth`);
    const unchanged = await sizeOf();
    const { final, precertificate } = house.chains(other?.[1] ?? after);
    const answers = [
      await postChain(`${baseOf(log)}/add-chain`, final),
      await postChain(`${baseOf(log)}/add-pre-chain`, precertificate),
    ];
    expect(answers.map(({ status, text }) => [status, text])).toEqual([
      [400, "bad request\n"],
      [400, "bad request\n"],
    ]);
    expect(await sizeOf()).toEqual(unchanged);
  });

  test("gives the same SCT, byte for byte, for a submission again and after a restart", async () => {
    const { final, precertificate } = house.chains(notAfter);
    const root = base64(house.authority.root.der);
    const submit = async (): Promise<string[]> => {
      const answers = await Promise.all([
        postChain(`${baseOf(log)}/add-pre-chain`, precertificate),
        postChain(`${baseOf(log)}/add-pre-chain`, [...precertificate, root]),
        postChain(`${baseOf(log)}/add-chain`, final),
        postChain(`${baseOf(log)}/add-chain`, [...final, root]),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      const [pre, preWithRoot, whole, wholeWithRoot] = answers.map(({ text }) => text);
      expect([preWithRoot, wholeWithRoot]).toEqual([pre, whole]);
      return [pre ?? "", whole ?? ""];
    };
    const first = await submit();
    expect(await submit()).toEqual(first);
    await door.dispose();
    door = await house.open();
    expect(await submit()).toEqual(first);
  });

  test("knows one root", async () => {
    expect(await getJson(`${baseOf(log)}/get-roots`)).toEqual({
      certificates: [base64(house.authority.root.der)],
    });
  });
});

test.each(shards)(
  "%s shows an entry to whoever asks for it right after it was promised",
  async (log, notAfter) => {
    const sizeOf = async (): Promise<number> =>
      (await getJson<{ tree_size: number }>(`${baseOf(log)}/get-sth`)).tree_size;
    const size = await sizeOf();
    const { precertificate } = house.chains(notAfter);
    const { status } = await postChain(`${baseOf(log)}/add-pre-chain`, precertificate);
    expect(status).toBe(200);
    const url = `${baseOf(log)}/get-entries?start=${size}&end=${size}`;
    expect((await getJson<{ entries: unknown[] }>(url)).entries).toHaveLength(1);
    expect(await sizeOf()).toBe(size + 1);
  },
);

describe.each(shards)("%s to a monitor", (log, notAfter, vault) => {
  test("is what a monitor computes, at every size", async () => {
    const chains = Array.from({ length: 256 }, () => house.chains(notAfter).precertificate);
    await Promise.all(
      chains.map(async (chain) => await postChain(`${baseOf(log)}/add-pre-chain`, chain)),
    );
    const leaves = await monitor(baseOf(log), vault.publicKey);
    expect(leaves.length).toBeGreaterThan(257);
    const size = leaves.length;
    for (const [index, second] of [
      [0, 1],
      [0, size],
      [255, 256],
      [256, 257],
      [3, size - 1],
      [size - 1, size],
    ] as const) {
      const tree = leaves.slice(0, second);
      const audit = path(index, tree).map(base64);
      const hash = encodeURIComponent(base64(leaves[index] ?? new Uint8Array()));
      expect(
        await getJson(`${baseOf(log)}/get-proof-by-hash?hash=${hash}&tree_size=${second}`),
      ).toEqual({ leaf_index: index, audit_path: audit });
      const query = `leaf_index=${index}&tree_size=${second}`;
      expect(await getJson(`${baseOf(log)}/get-entry-and-proof?${query}`)).toMatchObject({
        audit_path: audit,
      });
      const first = index + 1;
      expect(
        await getJson(`${baseOf(log)}/get-sth-consistency?first=${first}&second=${second}`),
      ).toEqual({ consistency: proof(first, tree).map(base64) });
    }
    const tile = await fetch(`${door.origin}/logs/${log}/tile/0/000`);
    expect(Buffer.from(await tile.arrayBuffer())).toEqual(Buffer.concat(leaves.slice(0, 256)));
  });

  test("cuts an answer off at 256 entries, and none is an error", async () => {
    const count = async (start: number, end: string): Promise<number> => {
      const url = `${baseOf(log)}/get-entries?start=${start}&end=${end}`;
      return (await getJson<{ entries: unknown[] }>(url)).entries.length;
    };
    const { tree_size: size } = await getJson<{ tree_size: number }>(`${baseOf(log)}/get-sth`);
    expect(await count(0, "255")).toBe(256);
    expect(await count(0, "256")).toBe(256);
    expect(await count(0, "9223372036854775807")).toBe(256);
    expect(await count(size - 1, "9223372036854775807")).toBe(1);
    expect(await count(size - 2, String(size))).toBe(2);
    expect((await fetch(`${baseOf(log)}/get-entries?start=${size}&end=${size}`)).status).toBe(400);
  });
});

test.each(["nosuch", "rekor"])("there is no CT log called %s", async (log) => {
  const { final, precertificate } = house.chains(before);
  const hash = encodeURIComponent(base64(new Uint8Array(32)));
  const answers = [
    await postChain(`${baseOf(log)}/add-chain`, final),
    await postChain(`${baseOf(log)}/add-pre-chain`, precertificate),
  ].map(({ status }) => status);
  for (const query of [
    "get-sth",
    "get-roots",
    "get-sth-consistency?first=1&second=1",
    `get-proof-by-hash?hash=${hash}&tree_size=1`,
    "get-entries?start=0&end=0",
    "get-entry-and-proof?leaf_index=0&tree_size=1",
  ]) {
    answers.push((await fetch(`${baseOf(log)}/${query}`)).status);
  }
  expect(answers).toEqual(Array.from({ length: 8 }, () => 404));
});
