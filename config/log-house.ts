/** What a home needs for another log: its storage, and its place in `config.yaml`, whose comments and order stay as they are. */
import { hash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseDocument } from "yaml";
import * as v from "valibot";
import { durableWrite } from "../core/durable.ts";
import { configure } from "../core/kernel.ts";
import { driverName, partitionsOf } from "../core/stores.ts";
import { type LogCreation, type LogHouse, VaultRefused } from "../hsm/commands.ts";
import { log } from "../plugins/log/manifest.ts";
import { openStorage, parseConfiguration, readConfiguration } from "./load.ts";
import { plugins } from "./plugins.ts";

/** The house of a home. */
export function logHouse(home: string): LogHouse {
  const partitionOf = (name: string) => driverName("log", name);
  const hasStorage = (name: string) => existsSync(join(home, "data", `${partitionOf(name)}.db`));
  const refuseStorage = (name: string): void => {
    if (hasStorage(name)) throw new VaultRefused(`the home has a storage for a log "${name}"`);
  };
  return {
    async requireNew(name) {
      refuseStorage(name);
      const { logs } = await readLogs(home);
      if (logs.some((one) => one.name === name)) {
        throw new VaultRefused(`the configuration names a log "${name}" already`);
      }
    },
    async createStorage(name, announced) {
      const partition = partitionOf(name);
      // Made whole or not at all: if an interrupted run announced it, what is there is what it made.
      if (announced && hasStorage(name)) return;
      refuseStorage(name);
      const found = partitionsOf([log.manifest], new Map([["log", { logs: [{ name }] }]])).find(
        (one) => one.name === partition,
      );
      if (!found) throw new VaultRefused(`a log cannot be called "${name}"`);
      await using storage = openStorage(home);
      await storage.create(partition, found.shape);
    },
    configure: async (creation) => await addToConfiguration(home, creation),
  };
}

/** The configured logs and which of them take what clients send. */
export async function readLogs(home: string) {
  const { sections } = await readConfiguration(home);
  const manifests = plugins.map(({ manifest }) => manifest);
  const configured = await configure(manifests, sections);
  const { logs } = v.parse(log.manifest.config, configured.get("log"));
  const rekor = v.parse(
    v.looseObject({ log: v.string(), v2: v.optional(v.looseObject({ log: v.string() })) }),
    configured.get("rekor"),
  );
  const ct = v.parse(v.looseObject({ log: v.string() }), configured.get("ct"));
  return { logs, active: { ct: ct.log, rekorV1: rekor.log, rekorV2: rekor.v2?.log } };
}

async function addToConfiguration(
  home: string,
  { log: name, format, key, serve }: LogCreation,
): Promise<string> {
  const path = join(home, "config.yaml");
  const text = await readFile(path, "utf8");
  const document = parseDocument(text, { version: "1.2", uniqueKeys: true, strict: true });
  const { logs } = await readLogs(home);
  const known = logs.find((one) => one.name === name);
  if (known && (known.key !== key || known.format !== format)) {
    throw new VaultRefused(`${path} names another log "${name}" already`);
  }
  if (!known) document.addIn(["log", "logs"], document.createNode({ name, format, key }));
  if (serve) {
    document.setIn(["rekor", "v2", "log"], name);
    document.setIn(["http", "rekorV2Log"], name);
  }
  const changed = document.toString({ lineWidth: 120 });
  // Held against every schema before it replaces what works.
  const { sections } = parseConfiguration(path, changed);
  await configure(
    plugins.map(({ manifest }) => manifest),
    sections,
  );
  if (changed !== text) await durableWrite(path, changed, 0o600);
  return hash("sha256", changed, "hex");
}
