/** What a home needs for another log: its storage, and its place in `config.yaml`, whose comments and order stay as they are. */
import { hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseDocument } from "yaml";
import * as v from "valibot";
import { durableWrite } from "../core/durable.ts";
import { configure } from "../core/kernel.ts";
import { driverName, partitionsOf } from "../core/stores.ts";
import { type LogCreation, type LogHouse, VaultRefused } from "../hsm/commands.ts";
import { type Shard, shardsOf } from "../plugins/ct/commands.ts";
import { ct } from "../plugins/ct/manifest.ts";
import { issuer } from "../plugins/issuer/manifest.ts";
import { log, type LogConfig } from "../plugins/log/manifest.ts";
import { rekor } from "../plugins/rekor/manifest.ts";
import { openStorage, parseConfiguration, readConfiguration } from "./load.ts";
import { plugins } from "./plugins.ts";
import { isThere } from "./storage.ts";

/** The house of a home. */
export function logHouse(home: string): LogHouse {
  const partitionOf = (name: string) => driverName("log", name);
  const hasStorage = async (name: string): Promise<boolean> => {
    await using storage = await openStorage(home);
    return await isThere(storage, partitionOf(name));
  };
  const refuseStorage = async (name: string): Promise<void> => {
    if (await hasStorage(name))
      throw new VaultRefused(`the home has a storage for a log "${name}"`);
  };
  return {
    async requireNew(creation) {
      const { log: name } = creation;
      await refuseStorage(name);
      const { logs } = await readLogs(home);
      if (logs.some((one) => one.name === name)) {
        throw new VaultRefused(`the configuration names a log "${name}" already`);
      }
      await changedConfiguration(home, creation);
    },
    async createStorage(name, announced) {
      const partition = partitionOf(name);
      // Made whole or not at all: if an interrupted run announced it, what is there is what it made.
      if (announced && (await hasStorage(name))) return;
      await refuseStorage(name);
      const found = partitionsOf([log.manifest], new Map([["log", { logs: [{ name }] }]])).find(
        (one) => one.name === partition,
      );
      if (!found) throw new VaultRefused(`a log cannot be called "${name}"`);
      await using storage = await openStorage(home);
      await storage.create(partition, found.shape);
    },
    configure: async (creation, firstIndex) => await addToConfiguration(home, creation, firstIndex),
  };
}

/** The configured logs and which of them take what clients send. */
export async function readLogs(home: string) {
  const { sections } = await readConfiguration(home);
  const configured = await configure(manifests, sections);
  const { logs } = v.parse(log.manifest.config, configured.get("log"));
  const v1 = v.parse(rekor.manifest.config, configured.get("rekor"));
  const shards = shardsOf(v.parse(ct.manifest.config, configured.get("ct")));
  const issuing = v.parse(issuer.manifest.config, configured.get("issuer"));
  const now = new Date();
  const takes = shards.filter(({ end }) => end === null || end > now);
  const trees = successionOf(v1.log, logs);
  const newest = trees.at(-1)?.name ?? v1.log;
  const rekorV2 = v1.v2 && (successionOf(v1.v2.log, logs).at(-1)?.name ?? v1.v2.log);
  return {
    logs,
    shards,
    sctKeys: typeof issuing.logKey === "string" ? [issuing.logKey] : issuing.logKey,
    active: { ct: takes.map((one) => one.log), rekorV1: newest, rekorV2 },
    rekor: v1,
    /** The tree that the configuration of Rekor v1 names, and those that have taken over from it. */
    trees: [
      { log: v1.log, key: v1.key, treeId: v1.treeId },
      ...trees.map(({ name, key, treeId = "" }) => ({ log: name, key, treeId })),
    ],
  };
}

/** The logs that take over from one, one after the other. */
function successionOf(log: string, logs: readonly LogConfig[]): readonly LogConfig[] {
  const next = logs.find(({ after }) => after === log);
  return next === undefined ? [] : [next, ...successionOf(next.name, logs)];
}

const manifests = plugins.map(({ manifest }) => manifest);

async function addToConfiguration(
  home: string,
  creation: LogCreation,
  firstIndex: bigint,
): Promise<string> {
  const { path, text, changed } = await changedConfiguration(home, creation, firstIndex);
  if (changed !== text) await durableWrite(path, changed, 0o600);
  return hash("sha256", changed, "hex");
}

/** The configuration with the log in it, which every schema accepts. @throws {VaultRefused} if it does not fit. */
async function changedConfiguration(home: string, creation: LogCreation, firstIndex = 0n) {
  const { log: name, format, key, serve } = creation;
  const path = join(home, "config.yaml");
  const text = await readFile(path, "utf8");
  const document = parseDocument(text, { version: "1.2", uniqueKeys: true, strict: true });
  const { logs, shards, sctKeys, rekor: v1, trees } = await readLogs(home);
  const known = logs.find((one) => one.name === name);
  if (known && (known.key !== key || known.format !== format)) {
    throw new VaultRefused(`${path} names another log "${name}" already`);
  }
  const { takesOver } = creation;
  const tree = creation.tree && { treeId: creation.tree.id, firstIndex: String(firstIndex) };
  const succession = takesOver && {
    ...(takesOver.treeId !== undefined && { treeId: takesOver.treeId }),
    after: takesOver.from,
  };
  if (!known) {
    const added = { name, format, key, ...tree, ...succession };
    document.addIn(["log", "logs"], document.createNode(added));
  }
  if (creation.tree && v1.log !== name) {
    document.setIn(["rekor", "shards"], document.createNode([...v1.shards, ...trees]));
    document.setIn(["rekor", "log"], name);
    document.setIn(["rekor", "key"], key);
    document.setIn(["rekor", "treeId"], creation.tree.id);
  }
  if (serve && format === "rekor-v2") {
    document.setIn(["rekor", "v2", "log"], name);
    document.setIn(["http", "rekorV2Log"], name);
  }
  if (creation.interval && !shards.some((one) => one.log === name)) {
    document.deleteIn(["ct", "log"]);
    document.setIn(["ct", "shards"], document.createNode(withShard(shards, creation)));
    document.setIn(["issuer", "logKey"], document.createNode([...sctKeys, key]));
  }
  const changed = document.toString({ lineWidth: 120 });
  // Held against every schema before it replaces what works.
  try {
    await configure(manifests, parseConfiguration(path, changed).sections);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : "it is not valid";
    throw new VaultRefused(`the log "${name}" does not fit into ${path}: ${why}`, { cause });
  }
  return { path, text, changed };
}

/** The shards with another one at their end; the one before it, if open, ends where that starts. */
function withShard(shards: readonly Shard[], { log: name, interval }: LogCreation) {
  const last = shards.length - 1;
  const all = shards.map((shard, at) =>
    at === last ? { ...shard, end: shard.end ?? interval?.start ?? null } : shard,
  );
  return [...all, { log: name, start: interval?.start ?? null, end: interval?.end ?? null }].map(
    ({ log: one, start, end }) => ({
      log: one,
      ...(start && { start: written(start) }),
      ...(end && { end: written(end) }),
    }),
  );
}

/** A day, or a second where it is not midnight. */
function written(at: Date): string {
  const [day = "", time = ""] = at.toISOString().split("T");
  return time === "00:00:00.000Z" ? day : `${day}T${time.slice(0, 8)}Z`;
}
