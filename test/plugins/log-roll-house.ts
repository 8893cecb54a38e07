/** Rekor over logs that are rolled: its rooms, their vaults, and a follower that hears of every batch. */
import * as v from "valibot";
import { afterEach } from "vitest";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { definePlugin } from "../../core/plugin.ts";
import { entriesAppended, listLogs } from "../../events/log.ts";
import { createEntry } from "../../events/rekor.ts";
import { fsckLogs } from "../../plugins/log/commands.ts";
import log from "../../plugins/log/plugin.ts";
import rekor from "../../plugins/rekor/plugin.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { TestVault, vaultPlugin } from "./log-vault.ts";
import { bytesOf, hashedRekord, signer } from "./rekor/proposals.ts";

/** Who signs what is logged. */
export const alice = signer("P-256");
const shape = {
  tables: [...Object.values(log.manifest.keeps?.tables ?? {}), "cursors"],
  streams: ["facts"],
};
/** A log of Rekor v1 and its successor. */
export const v1 = {
  old: { name: "rekor", format: "rekor-v1", key: "key-a", treeId: "7" },
  next: { name: "rekor-2", format: "rekor-v1", key: "key-b", treeId: "9", after: "rekor" },
} as const;
/** A log of Rekor v2 and its successor. */
export const v2 = {
  old: { name: "rekor-v2", format: "rekor-v2", key: "key-c" },
  next: { name: "rekor-v2-2", format: "rekor-v2", key: "key-d", after: "rekor-v2" },
} as const;

/** The rooms, which may be started again on the same storage. */
export class House implements AsyncDisposable {
  readonly vaults = {
    "key-a": new TestVault("localhost - 7"),
    "key-b": new TestVault("localhost - 9"),
    "key-c": new TestVault(),
    "key-d": new TestVault(),
  };
  /** Keys that a ceremony has destroyed. */
  readonly destroyed = new Set<string>();
  readonly storage = memoryStorage();
  readonly told: { log: string; from: bigint; to: bigint }[] = [];
  #installation: TestInstallation | null = null;

  async start(...more: readonly object[]): Promise<void> {
    const follower = definePlugin({
      name: "follower",
      summary: "Hears of every batch",
      config: v.strictObject({}),
      offers: [],
      needs: [],
      emits: [],
      follows: [entriesAppended],
      keeps: { tables: [] },
      reaches: [],
    }).implement(async () => ({
      handlers: { entriesAppended: async (body) => void this.told.push(body) },
    }));
    this.#installation = await bootForTest({
      entries: [vaultPlugin(this.#keys()), log, rekor, follower],
      config: {
        hsm: {},
        log: { logs: [v1.old, v2.old, ...more] },
        rekor: { key: "key-a", treeId: "7", v2: {} },
      },
      storage: this.storage,
    });
  }

  #keys(): { readonly [label: string]: TestVault } {
    return Object.fromEntries(
      Object.entries(this.vaults).filter(([label]) => !this.destroyed.has(label)),
    );
  }

  get ask(): TestInstallation["ask"] {
    const installation = this.#installation;
    if (installation === null) throw new Error("not started");
    return async (ask, question, asker) => await installation.ask(ask, question, asker);
  }

  get health() {
    return this.#installation?.health()["log"];
  }

  async makeStorage(...names: readonly string[]): Promise<void> {
    for (const name of names) await this.storage.create(`log-${name}`, shape);
  }

  async submit(at: number) {
    const proposed = bytesOf(hashedRekord(alice, encodeUtf8(`artifact ${at}`)));
    return (await this.ask(createEntry, { proposed })).entry;
  }

  async stop(): Promise<void> {
    const installation = this.#installation;
    this.#installation = null;
    await installation?.dispose();
  }

  async phases(): Promise<readonly string[]> {
    const { logs } = await this.ask(listLogs, {});
    return logs.map(({ name, phase }) => `${name}: ${phase}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

const houses: House[] = [];
afterEach(async () => {
  for (const house of houses.splice(0)) await house.stop();
});

/** A running house; it is stopped after the test. */
export async function started(...more: readonly object[]): Promise<House> {
  const house = new House();
  houses.push(house);
  await house.start(...more);
  return house;
}

/** What fsck finds in both trees of Rekor v1. */
export async function fsckBoth({ vaults, storage }: House, firstIndex: bigint) {
  const checked = [
    { name: "rekor", key: vaults["key-a"], first: 0n },
    { name: "rekor-2", key: vaults["key-b"], first: firstIndex },
  ];
  return await fsckLogs({
    openReader: async (name) => await storage.openReader(`log-${name}`),
    logs: checked.map(({ name, key: { publicKey, origin }, first }) => ({
      name,
      format: "rekor-v1" as const,
      publicKey,
      origin,
      firstIndex: first,
    })),
    lastSigned: async (name) => checked.find((one) => one.name === name)?.key.last ?? null,
  });
}
