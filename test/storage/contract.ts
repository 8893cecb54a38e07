/** What every storage driver must do: one suite, run over each. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  Conflict,
  MissingPartition,
  type Partition,
  type StorageDriver,
  type Write,
} from "../../core/storage.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { shape } from "./contract-shape.ts";

const bytes = encodeUtf8;
const put = (table: string, key: string, value: string): Write => ({
  table,
  key: bytes(key),
  value: bytes(value),
});

/** What every group of the contract's tests runs on: opened anew for each test. */
interface Bench {
  driver: StorageDriver;
  partition: Partition;
}

/** Runs the contract over drivers that `make` gives, each on nothing. */
export function storageContract(name: string, make: () => Promise<StorageDriver>): void {
  describe(`${name} keeps the storage contract`, () => {
    const bench = {} as Bench; // filled before each test
    beforeEach(async () => {
      bench.driver = await make();
      await bench.driver.create("room", shape);
      bench.partition = await bench.driver.open("room", shape);
    });
    afterEach(async () => {
      await bench.partition[Symbol.asyncDispose]();
      await bench.driver[Symbol.asyncDispose]();
    });
    atomicity(bench);
    order(bench);
    streams(bench);
    lifetime(bench);
    bounds(bench);
  });
}

async function text({ partition }: Bench, table: string, key: string): Promise<string | null> {
  const value = await partition.get(table, bytes(key));
  return value === null ? null : Buffer.from(value).toString();
}

function atomicity(bench: Bench): void {
  test("a read after a commit sees it", async () => {
    await bench.partition.commit({ writes: [put("alpha", "k", "v")] });
    expect(await text(bench, "alpha", "k")).toBe("v");
    expect(await text(bench, "beta", "k")).toBeNull();
    await bench.partition.commit({ writes: [{ table: "alpha", key: bytes("k"), value: null }] });
    expect(await text(bench, "alpha", "k")).toBeNull();
  });

  test("a failed expectation changes nothing and says which it was", async () => {
    await bench.partition.commit({ writes: [put("alpha", "k", "v")] });
    const refused = bench.partition.commit({
      writes: [put("alpha", "k", "w"), put("beta", "n", "x")],
      appends: [{ stream: "facts", value: bytes("f") }],
      expect: [
        { table: "alpha", key: bytes("k"), value: bytes("v") },
        { table: "beta", key: bytes("n"), value: bytes("other") },
      ],
    });
    await expect(refused).rejects.toBeInstanceOf(Conflict);
    await expect(refused).rejects.toMatchObject({ expectation: { table: "beta" } });
    expect(await text(bench, "alpha", "k")).toBe("v");
    expect(await text(bench, "beta", "n")).toBeNull();
    expect(await bench.partition.read("facts", 0n, 10)).toEqual([]);
    await bench.partition.commit({ appends: [{ stream: "facts", value: bytes("g") }] });
    expect((await bench.partition.read("facts", 0n, 10)).map((r) => r.sequence)).toEqual([1n]);
  });
}

function order(bench: Bench): void {
  test("concurrent commits take effect in the order they are called, and a conflict is only its own", async () => {
    const key = bytes("size");
    const step = async (from: string | null, to: string) =>
      await bench.partition.commit({
        writes: [put("alpha", "size", to)],
        appends: [{ stream: "facts", value: bytes(to) }],
        expect: [{ table: "alpha", key, value: from === null ? null : bytes(from) }],
      });
    const outcomes = await Promise.allSettled([
      step(null, "1"),
      step("1", "2"),
      step("1", "never"),
      step("2", "3"),
      step(null, "never"),
      step("3", "4"),
    ]);
    expect(outcomes.map(({ status }) => status === "fulfilled")).toEqual([
      true,
      true,
      false,
      true,
      false,
      true,
    ]);
    expect(await text(bench, "alpha", "size")).toBe("4");
    const facts = await bench.partition.read("facts", 0n, 10);
    expect(facts.map(({ value }) => Buffer.from(value).toString())).toEqual(["1", "2", "3", "4"]);
  });

  test("an expectation of no row holds only without one", async () => {
    const expectNone = { table: "alpha", key: bytes("k"), value: null };
    await bench.partition.commit({ writes: [put("alpha", "k", "")], expect: [expectNone] });
    await expect(bench.partition.commit({ expect: [expectNone] })).rejects.toBeInstanceOf(Conflict);
    await bench.partition.commit({ expect: [{ ...expectNone, value: new Uint8Array(0) }] });
  });
}

function streams(bench: Bench): void {
  test("streams count from 1 without gaps, each its own", async () => {
    const many = Array.from({ length: 50 }, (_, n) => n);
    const committed = await Promise.all(
      many.map(
        async (n) =>
          await bench.partition.commit({
            appends: [
              { stream: "facts", value: bytes(`f${n}`) },
              { stream: "other", value: bytes(`o${n}`) },
              { stream: "facts", value: bytes(`g${n}`) },
            ],
          }),
      ),
    );
    expect(committed[0]?.sequences).toEqual([1n, 1n, 2n]);
    expect(committed[49]?.sequences).toEqual([99n, 50n, 100n]);
    const page = await bench.partition.read("facts", 40n, 3);
    expect(page.map(({ sequence }) => sequence)).toEqual([41n, 42n, 43n]);
    expect((await bench.partition.read("facts", 0n, 1000)).map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 100 }, (_, n) => BigInt(n + 1)),
    );
    expect(await bench.partition.read("facts", 100n, 5)).toEqual([]);
  });

  test("scans ranges in the order of unsigned bytes, both ways", async () => {
    const keys = [[0], [0, 0], [0, 255], [1], [127], [128], [200, 1], [255], [255, 255]] as const;
    const shuffled = [4, 0, 8, 2, 6, 1, 7, 3, 5].map((at) => keys[at] ?? [9]);
    await bench.partition.commit({
      writes: shuffled.map((key) => ({
        table: "alpha",
        key: Uint8Array.from(key),
        value: Uint8Array.from(key),
      })),
    });
    const scan = async (range: { from?: number[]; to?: number[]; reverse?: boolean }, n = 100) => {
      const rows = await bench.partition.scan("alpha", {
        limit: n,
        ...(range.from ? { from: Uint8Array.from(range.from) } : {}),
        ...(range.to ? { to: Uint8Array.from(range.to) } : {}),
        ...(range.reverse ? { reverse: true } : {}),
      });
      for (const { key, value } of rows) expect(value).toEqual(key);
      return rows.map(({ key }) => [...key]);
    };
    expect(await scan({})).toEqual(keys);
    expect(await scan({ reverse: true })).toEqual([...keys].reverse());
    expect(await scan({ from: [1], to: [200] })).toEqual([[1], [127], [128]]);
    expect(await scan({ from: [1], to: [200], reverse: true }, 2)).toEqual([[128], [127]]);
    expect(await scan({ from: [0, 1] }, 2)).toEqual([[0, 255], [1]]);
    expect(await scan({ from: [128], to: [128] })).toEqual([]);
    expect(await scan({ from: [200], to: [1] })).toEqual([]);
  });
}

function lifetime(bench: Bench): void {
  test("what was committed is there after closing and opening again", async () => {
    await bench.partition.commit({
      writes: [put("alpha", "k", "v")],
      appends: [{ stream: "facts", value: bytes("f") }],
    });
    await bench.partition[Symbol.asyncDispose]();
    bench.partition = await bench.driver.open("room", shape);
    expect(await text(bench, "alpha", "k")).toBe("v");
    const more = await bench.partition.commit({
      appends: [{ stream: "facts", value: bytes("g") }],
    });
    expect(more.sequences).toEqual([2n]);
  });

  test("a reader beside the writer sees what is committed", async () => {
    await using reader = await bench.driver.openReader("room");
    expect(await reader.get("alpha", bytes("k"))).toBeNull();
    await bench.partition.commit({ writes: [put("alpha", "k", "v")] });
    expect(await reader.get("alpha", bytes("k"))).toEqual(bytes("v"));
  });

  test("refuses a second writer until the first has closed", async () => {
    await expect(bench.driver.open("room", shape)).rejects.toThrow(/open for writing already/);
    await bench.partition.commit({ writes: [put("alpha", "k", "v")] });
    await bench.partition[Symbol.asyncDispose]();
    bench.partition = await bench.driver.open("room", shape);
  });

  test("opens nothing that is missing, and makes nothing that exists", async () => {
    await expect(bench.driver.open("elsewhere", shape)).rejects.toBeInstanceOf(MissingPartition);
    await expect(bench.driver.openReader("elsewhere")).rejects.toBeInstanceOf(MissingPartition);
    await expect(bench.driver.create("room", shape)).rejects.toThrow(/exists already/);
    await bench.partition[Symbol.asyncDispose]();
    await expect(bench.driver.open("room", { ...shape, tables: ["alpha"] })).rejects.toThrow(
      /shape/,
    );
    bench.partition = await bench.driver.open("room", shape);
  });
}

function bounds(bench: Bench): void {
  test.for([
    ["a table it does not have", { writes: [put("gamma", "k", "v")] }],
    ["an empty key", { writes: [put("alpha", "", "v")] }],
    ["a key of 257 bytes", { writes: [put("alpha", "k".repeat(257), "v")] }],
    [
      "a value above 8 MiB",
      {
        writes: [{ table: "alpha", key: bytes("k"), value: new Uint8Array(8 * 1024 * 1024 + 1) }],
      },
    ],
    ["a stream it does not have", { appends: [{ stream: "nowhere", value: bytes("v") }] }],
  ] as const)("refuses %s and goes on", async ([, commit]) => {
    await expect(bench.partition.commit(commit)).rejects.toBeInstanceOf(TypeError);
    await bench.partition.commit({ writes: [put("alpha", "k".repeat(256), "v")] });
    expect(await text(bench, "alpha", "k".repeat(256))).toBe("v");
  });

  test("takes a value of exactly 8 MiB", async () => {
    const value = new Uint8Array(8 * 1024 * 1024).fill(7);
    await bench.partition.commit({ writes: [{ table: "alpha", key: bytes("k"), value }] });
    const found = await bench.partition.get("alpha", bytes("k"));
    expect(found !== null && Buffer.compare(found, value) === 0).toBe(true);
  });

  test("after closing, everything is refused", async () => {
    await bench.partition[Symbol.asyncDispose]();
    await expect(bench.partition.commit({ writes: [put("alpha", "k", "v")] })).rejects.toThrow(
      /closed/,
    );
    await expect(bench.partition.get("alpha", bytes("k"))).rejects.toThrow(/closed/);
  });
}
