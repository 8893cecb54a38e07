/** Two processes of one installation, with a home, a real server and real storage, and what happens when one of them goes. */
import { mkdir, mkdtempDisposable, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pairs } from "../../core/acl.ts";
import { encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import type { Installation } from "../../core/kernel.ts";
import { definePlugin, emit, type Plugin } from "../../core/plugin.ts";
import { exitCodeFor, type Installed, startProcess } from "../../core/run.ts";
import { type Lease, type StorageDriver, Superseded } from "../../core/storage.ts";
import { ask, fact } from "../../events/contract.ts";
import { silentJournal } from "../support/boot.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { startNats, type TestNats } from "../support/nats-server.ts";
import "../support/matchers.ts";

const seal = ask("vault", "seal", {
  question: v.strictObject({ text: v.string() }),
  answer: v.strictObject({ sealed: v.string() }),
  failures: [],
  deadlineMs: 30_000,
  batched: true,
});
const request = ask("office", "request", {
  question: v.strictObject({ text: v.string() }),
  answer: v.strictObject({ sealed: v.string(), trace: v.string(), sealTrace: v.string() }),
  failures: [],
  deadlineMs: 30_000,
});
const granted = fact("office", "granted", v.strictObject({ text: v.string() }));
const nothing = { summary: "", config: v.strictObject({}), reaches: [] } as const;

const vault = definePlugin({
  ...nothing,
  name: "vault",
  offers: [seal],
  needs: [],
  emits: [],
  follows: [granted],
  keeps: { tables: [] },
});
const office = definePlugin({
  ...nothing,
  name: "office",
  offers: [request],
  needs: [seal],
  emits: [granted],
  follows: [],
  keeps: { tables: ["grants"] },
});
const door = definePlugin({
  ...nothing,
  name: "door",
  offers: [],
  needs: [request],
  emits: [],
  follows: [],
  oversees: true,
});

const heard: string[] = [];
/** What the vault waits for before it answers. */
let sealing: Promise<void> = Promise.resolve();
let peers: (() => Promise<unknown>) | undefined;
const plugins: readonly Plugin[] = [
  vault.implement(async () => ({
    handlers: {
      seal: async ({ text }, { trace, from }) => {
        await sealing;
        return { sealed: `${from} ${text} ${trace}` };
      },
      granted: async ({ text }) => void heard.push(text),
    },
  })),
  office.implement(async (context) => {
    const store = await context.stores.open();
    return {
      handlers: {
        async request({ text }, { trace }) {
          const [from, , sealTrace = ""] = (await context.ask(seal, { text })).sealed.split(" ");
          const key = encodeUtf8(text);
          await store.commit({
            writes: [{ table: "grants", key, value: key }],
            facts: [emit(granted, { text })],
          });
          return { sealed: from ?? "", trace, sealTrace };
        },
      },
    };
  }),
  door.implement(async (context) => {
    peers = context.peers;
    return { handlers: {} };
  }),
];
const manifests = plugins.map(({ manifest }) => manifest);

let stack: AsyncDisposableStack;
let nats: TestNats;
let home: string;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  heard.length = 0;
  sealing = Promise.resolve();
  const folder = stack.use(await mkdtempDisposable(join(tmpdir(), "chancery-run-")));
  home = folder.path;
  nats = stack.use(await startNats(manifests));
  await mkdir(join(home, "secrets", "pairs"), { recursive: true });
  await mkdir(join(home, "secrets", "nkeys"), { recursive: true });
  const mode = 0o600;
  for (const [name, seed] of nats.seeds) {
    await writeFile(join(home, "secrets", "nkeys", `${name}.nk`), seed, { mode });
  }
  for (const [asker, answerer] of pairs(manifests)) {
    const key = encodeHex(nats.pairKeys(asker, answerer) ?? new Uint8Array());
    await writeFile(join(home, "secrets", "pairs", `${asker}--${answerer}.key`), key, { mode });
  }
});
afterEach(async () => await stack.disposeAsync());

/** Storage with what both plugins keep. */
async function filledStorage(): Promise<StorageDriver> {
  const storage = memoryStorage();
  const shape = (tables: readonly string[]) => ({
    tables: [...tables, "cursors"],
    streams: ["facts"],
  });
  await storage.create("vault", shape([]));
  await storage.create("office", shape(["grants"]));
  return storage;
}

async function start(process: string, shared?: StorageDriver): Promise<Installation> {
  const storage = shared ?? (await filledStorage());
  const installed: Installed = {
    entries: plugins.map((plugin) => ({
      manifest: plugin.manifest,
      load: async () => await Promise.resolve({ default: plugin }),
    })),
    config: {},
    placement: new Map([
      ["vault", "vault"],
      ["office", "services"],
      ["door", "services"],
    ]),
    natsUrl: nats.url,
    storage,
    fetch: async () => await Promise.reject(new Error("no internet in this test")),
  };
  const fatal = (reason: string): never => {
    throw new Error(reason);
  };
  const args = { home, process, pinDescriptor: undefined };
  return await startProcess(args, installed, { journal: () => silentJournal, fatal });
}

test("processes start in any order, and one trace goes through all of them", async () => {
  const services = start("services");
  await new Promise((resolve) => setTimeout(resolve, 200));
  stack.use(await start("vault"));
  const house = stack.use(await services);

  const answer = await house.ask(request, { text: "hello" }, "door");
  expect(answer).toMatchObject({ sealed: "office" });
  const { trace, sealTrace } = answer as { readonly trace: string; readonly sealTrace: string };
  expect(sealTrace.slice(0, 35)).toBe(trace.slice(0, 35));
  expect(sealTrace).not.toBe(trace);
});

test("facts reach a follower in another process", async () => {
  stack.use(await start("vault"));
  const house = stack.use(await start("services"));
  await house.ask(request, { text: "one" }, "door");
  await house.ask(request, { text: "two" }, "door");
  await expect.poll(() => heard).toEqual(["one", "two"]);
});

test("when a process goes, its asks fail at once and health says so; when it is back, all is well", async () => {
  const first = await start("vault");
  const house = stack.use(await start("services"));
  await expect(peers?.()).resolves.toEqual({
    vault: { status: "ok" },
    office: { status: "ok" },
    door: { status: "ok" },
  });

  await first[Symbol.asyncDispose]();
  await expect(house.ask(request, { text: "x" }, "door")).toFailWith("overloaded");
  await expect(peers?.()).resolves.toMatchObject({
    vault: { status: "failed", reason: "does not answer: overloaded" },
    office: { status: "ok" },
  });

  stack.use(await start("vault"));
  // That the vault has been replaced may be told while the question is under way, which then fails and may be asked again.
  await vi.waitFor(async () => {
    await expect(house.ask(request, { text: "x" }, "door")).resolves.toHaveProperty("sealed");
  });
});

test("a process that nothing is placed in does not start", async () => {
  await expect(start("valut")).rejects.toThrow(
    'no plugin is placed in the process "valut": there are vault, services',
  );
});

/** Storage that several processes share, and that gives them turns in the order in which they come. */
async function sharedStorage(): Promise<{
  readonly of: () => StorageDriver;
  /** Takes the turn away from whoever has it. */
  readonly takeAway: () => void;
}> {
  const storage = await filledStorage();
  const queue: { readonly begin: () => void; readonly lose: (why: Error) => void }[] = [];
  const lease = async (): Promise<Lease> => {
    const begun = Promise.withResolvers<boolean>();
    const lost = Promise.withResolvers<never>();
    lost.promise.catch(() => undefined);
    const own = { begin: () => begun.resolve(true), lose: lost.reject };
    queue.push(own);
    return await Promise.resolve({
      async taken(signal) {
        signal.addEventListener("abort", () => begun.resolve(false));
        if (queue[0] === own) own.begin();
        return await begun.promise;
      },
      lost: lost.promise,
      async [Symbol.asyncDispose]() {
        queue.splice(queue.indexOf(own), 1);
        queue[0]?.begin();
        await Promise.resolve();
      },
    });
  };
  return {
    of: () => ({ ...storage, lease, async [Symbol.asyncDispose]() {} }),
    takeAway: () => queue[0]?.lose(new Superseded("another process has taken over")),
  };
}

test("of two processes with the same rooms one has what keeps state, and the other takes over", async () => {
  stack.use(await start("vault"));
  const storage = await sharedStorage();
  const first = await start("services", storage.of());
  const second = stack.use(await start("services", storage.of()));
  await expect.poll(() => Object.keys(first.health()).toSorted()).toEqual(["door", "office"]);
  expect(Object.keys(second.health())).toEqual(["door"]);
  // Both doors reach the one office, and see that all is well.
  for (const house of [first, second]) {
    const answer = house.ask(request, { text: "x" }, "door");
    await expect(answer).resolves.toHaveProperty("sealed");
  }
  await expect(peers?.()).resolves.toMatchObject({ office: { status: "ok" } });

  await first[Symbol.asyncDispose]();
  await expect
    .poll(async () => await second.ask(request, { text: "y" }, "door").catch(() => null))
    .toHaveProperty("sealed");
  expect(Object.keys(second.health()).toSorted()).toEqual(["door", "office"]);
  await expect.poll(() => heard).toEqual(["x", "x", "y"]);
});

test("a process that joins leaves alone what others are answering", async () => {
  const slow = Promise.withResolvers<void>();
  sealing = slow.promise;
  stack.use(await start("vault"));
  const storage = await sharedStorage();
  const first = stack.use(await start("services", storage.of()));
  stack.use(await start("services", storage.of()));
  const third = stack.use(await start("services", storage.of()));
  await expect.poll(() => Object.keys(first.health())).toContain("office");
  const asked = third.ask(request, { text: "slow" }, "door");
  stack.use(await start("services", storage.of()));
  slow.resolve();
  await expect(asked).resolves.toHaveProperty("sealed");
});

test("a process whose turn was taken away, or whose rooms do not start, says that it cannot go on", async () => {
  stack.use(await start("vault"));
  const storage = await sharedStorage();
  const first = stack.use(await start("services", storage.of()));
  await expect.poll(() => Object.keys(first.health())).toContain("office");
  storage.takeAway();
  await expect(first.failed).rejects.toThrow(Superseded);
  expect(exitCodeFor(await first.failed.catch((thrown: unknown) => thrown))).toBe(6);

  const open = async () => await Promise.reject(new Error("the disk is full"));
  const second = stack.use(await start("services", { ...storage.of(), open }));
  await first[Symbol.asyncDispose]();
  await expect(second.failed).rejects.toThrow("the disk is full");
  await second[Symbol.asyncDispose]();
  await expect(start("services", { ...storage.of(), open })).rejects.toThrow("the disk is full");
});
