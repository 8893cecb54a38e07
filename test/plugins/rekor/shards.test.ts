/** Rekor v1 over two trees, from outside: indices that go on, ids and proofs of each tree, and promises over the index of all. */
import { createHash, createPublicKey, verify } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeUtf8 } from "../../../core/formats/encoding.ts";
import log from "../../../plugins/log/plugin.ts";
import rekor from "../../../plugins/rekor/plugin.ts";
import { leafOf, mth, path, proof } from "../../formats/naive-merkle.ts";
import { bootDoor, type Door } from "../../support/door.ts";
import { memoryStorage } from "../../support/memory-storage.ts";
import { TestVault, vaultPlugin } from "../log-vault.ts";
import { hashedRekord, signer } from "./proposals.ts";

interface Entry {
  readonly body: string;
  readonly integratedTime: number;
  readonly logID: string;
  readonly logIndex: number;
  readonly verification: {
    readonly inclusionProof: {
      readonly checkpoint: string;
      readonly hashes: readonly string[];
      readonly logIndex: number;
      readonly rootHash: string;
      readonly treeSize: number;
    };
    readonly signedEntryTimestamp: string;
  };
}
type Entries = Readonly<{ [id: string]: Entry }>;

const old = { log: "rekor-a", key: "key-a", treeId: "1193050959916656506" };
const next = { log: "rekor-b", key: "key-b", treeId: "9" };
const vaults = {
  "key-a": new TestVault(`localhost - ${old.treeId}`),
  "key-b": new TestVault(`localhost - ${next.treeId}`),
};
const storage = memoryStorage();
const alice = signer("P-256");
const proposals = Array.from({ length: 5 }, (_, at) =>
  hashedRekord(alice, encodeUtf8(`artifact ${at}`)),
);
const ids: string[] = [];
let door: Door;

async function open(config: object, firstIndex: string): Promise<void> {
  door = await bootDoor(
    {},
    {
      plugins: [rekor, log, vaultPlugin(vaults)],
      storage,
      config: {
        hsm: {},
        rekor: config,
        log: {
          logs: [old, { ...next, firstIndex }].map(({ log: name, ...rest }) => ({
            name,
            format: "rekor-v1",
            ...rest,
          })),
        },
      },
    },
  );
}

const get = async (path_: string) => await fetch(`${door.origin}${path_}`);
const json = async (path_: string): Promise<unknown> => {
  const response = await get(path_);
  expect(response.status).toBe(200);
  return (await response.json()) as unknown;
};
const post = async (path_: string, body: unknown) =>
  await fetch(`${door.origin}${path_}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

async function submit(at: number): Promise<Entries> {
  const response = await post("/api/v1/log/entries", proposals[at]);
  expect(response.status).toBe(201);
  const id = response.headers.get("etag") ?? "";
  expect(response.headers.get("location")).toBe(`/api/v1/log/entries/${id}`);
  ids[at] = id;
  return (await response.json()) as Entries;
}

beforeAll(async () => {
  await open(old, "0");
  for (let at = 0; at < 3; at++) await submit(at);
  await door.dispose();
  await open({ ...next, shards: [old] }, "3");
  for (let at = 3; at < 5; at++) await submit(at);
});
afterAll(async () => await door.dispose());

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const shardOf = (at: number) =>
  at < 3
    ? { ...old, first: 0, size: 3, vault: vaults["key-a"] }
    : { ...next, first: 3, size: 2, vault: vaults["key-b"] };

/** The leaf hashes of a tree, from the answers' bodies. */
async function leavesOf(first: number, size: number): Promise<Uint8Array[]> {
  const leaves: Uint8Array[] = [];
  for (let at = first; at < first + size; at++) {
    const [entry] = Object.values((await json(`/api/v1/log/entries?logIndex=${at}`)) as Entries);
    leaves.push(leafOf(Buffer.from(entry?.body ?? "", "base64")));
  }
  return leaves;
}

describe.each([0, 2, 3, 4])("the entry with index %i", (at) => {
  const { treeId, first, size, vault } = shardOf(at);

  test("is proved in its tree, and promised over all", async () => {
    const found = (await json(`/api/v1/log/entries?logIndex=${at}`)) as Entries;
    const [id = ""] = Object.keys(found);
    const entry = found[id];
    expect(id).toBe(ids[at]);
    expect(id.slice(0, 16)).toBe(BigInt(treeId).toString(16).padStart(16, "0"));
    const leaves = await leavesOf(first, size);
    expect(id.slice(16)).toBe(hex(leaves[at - first] ?? new Uint8Array()));
    expect(entry?.logIndex).toBe(at);
    expect(entry?.verification.inclusionProof).toMatchObject({
      logIndex: at - first,
      treeSize: size,
      rootHash: hex(mth(leaves)),
      hashes: path(at - first, leaves).map(hex),
    });
    expect(entry?.verification.inclusionProof.checkpoint).toMatch(
      new RegExp(`^localhost - ${treeId}\n${size}\n`),
    );
    const { body, integratedTime, logID, logIndex } = entry ?? {};
    expect(logID).toBe(createHash("sha256").update(vault.publicKey).digest("hex"));
    const payload = JSON.stringify({ body, integratedTime, logID, logIndex });
    const key = createPublicKey({
      key: Buffer.from(vault.publicKey),
      format: "der",
      type: "spki",
    });
    const set = Buffer.from(entry?.verification.signedEntryTimestamp ?? "", "base64");
    expect(verify("sha256", Buffer.from(payload), key, set)).toBe(true);
  });

  test("is the same by id, by leaf hash and by what was proposed", async () => {
    const wanted = await json(`/api/v1/log/entries?logIndex=${at}`);
    const id = ids[at] ?? "";
    expect(await json(`/api/v1/log/entries/${id}`)).toEqual(wanted);
    expect(await json(`/api/v1/log/entries/${id.slice(16)}`)).toEqual(wanted);
    const all = { entryUUIDs: [id, id.slice(16)], logIndexes: [at], entries: [proposals[at]] };
    const retrieved = await post("/api/v1/log/entries/retrieve", all);
    expect(await retrieved.json()).toEqual([wanted, wanted, wanted, wanted]);
    const elsewhere = `${"0".repeat(15)}5${id.slice(16)}`;
    expect((await get(`/api/v1/log/entries/${elsewhere}`)).status).toBe(404);
  });
});

test("an index beyond the last is nowhere", async () => {
  const response = await get("/api/v1/log/entries?logIndex=5");
  expect([response.status, await response.text()]).toEqual([404, ""]);
});

test("an entry is known in the tree that takes entries", async () => {
  const response = await post("/api/v1/log/entries", proposals[4]);
  expect(response.status).toBe(409);
  expect(response.headers.get("location")).toBe(`/api/v1/log/entries/${ids[4]}`);
});

test.each(["", "?stable=true", "?stable=false"])("both trees are told of: %j", async (query) => {
  const told = (await json(`/api/v1/log${query}`)) as {
    readonly inactiveShards: readonly { readonly signedTreeHead: string }[];
    readonly signedTreeHead: string;
  };
  expect(told).toEqual({
    inactiveShards: [
      {
        rootHash: hex(mth(await leavesOf(0, 3))),
        signedTreeHead: await (await get("/logs/rekor-a/checkpoint")).text(),
        treeID: old.treeId,
        treeSize: 3,
      },
    ],
    rootHash: hex(mth(await leavesOf(3, 2))),
    signedTreeHead: await (await get("/logs/rekor-b/checkpoint")).text(),
    treeID: next.treeId,
    treeSize: 2,
  });
  // rekor's own checkpoint parser takes one signature and no more.
  for (const { signedTreeHead } of [told, ...told.inactiveShards]) {
    expect(signedTreeHead.match(/^— localhost /gm)).toHaveLength(1);
  }
});

test.each([
  [undefined, vaults["key-b"]],
  [next.treeId, vaults["key-b"]],
  [old.treeId, vaults["key-a"]],
])("the key of tree %s", async (treeId, vault) => {
  const response = await get(`/api/v1/log/publicKey${treeId ? `?treeID=${treeId}` : ""}`);
  expect(response.headers.get("content-type")).toBe("application/x-pem-file");
  const key = createPublicKey(await response.text()).export({ format: "der", type: "spki" });
  expect(key.equals(vault.publicKey)).toBe(true);
});

test.each([
  [undefined, 3, 2],
  [next.treeId, 3, 2],
  [old.treeId, 0, 3],
] as const)("consistency in tree %s", async (treeId, first, size) => {
  const leaves = await leavesOf(first, size);
  const named = treeId === undefined ? "" : `&treeID=${treeId}`;
  expect(await json(`/api/v1/log/proof?firstSize=1&lastSize=${size}${named}`)).toEqual({
    rootHash: hex(mth(leaves)),
    hashes: proof(1, leaves).map(hex),
  });
  const beyond = await get(`/api/v1/log/proof?firstSize=1&lastSize=${size + 1}${named}`);
  expect(beyond.status).toBe(400);
});

test.each([
  ["publicKey?treeID=", "x", 400],
  ["publicKey?treeID=", "-1", 400],
  ["publicKey?treeID=", "9223372036854775808", 400],
  ["publicKey?treeID=", "5", 404],
  ["proof?lastSize=1&treeID=", "x", 400],
  ["proof?lastSize=1&treeID=", "5", 404],
  ["?stable=", "maybe", 400],
  ["?stable=", "", 400],
])("GET log/%s%s is %i", async (query, text, status) => {
  const base = query.startsWith("?") ? "/api/v1/log" : "/api/v1/log/";
  expect((await get(`${base}${query}${text}`)).status).toBe(status);
});

test.each(["0", "2", "4"])(
  "a shard that begins at %s would promise wrong indices",
  async (first) => {
    await door.dispose();
    await open({ ...next, shards: [old] }, first);
    for (const path_ of ["entries?logIndex=0", "publicKey", ""]) {
      expect((await get(`/api/v1/log/${path_}`.replace(/\/$/, ""))).status).toBe(503);
    }
    expect((await post("/api/v1/log/entries", proposals[0])).status).toBe(503);
  },
);
