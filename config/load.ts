/** Reads a home: the configuration, strictly, and everything a process is made of. */
import { readFile } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import * as v from "valibot";
import { parseDocument } from "yaml";
import { createFetch } from "../core/fetch.ts";
import { parseJson } from "../core/formats/json.ts";
import { CompositionError } from "../core/graph.ts";
import type { Installed } from "../core/run.ts";
import type { StorageDriver } from "../core/storage.ts";
import { sqliteDriver } from "../plugins/storage/sqlite.ts";
import { movedListeners, readJoined } from "./joined.ts";
import { operator } from "./operator.ts";
import { plugins } from "./plugins.ts";
import {
  instance,
  type Instance,
  outbound,
  placement,
  storage,
  type StorageConfig,
} from "./schema.ts";

/** A home's `config.yaml` taken apart. */
export interface Configuration {
  /** One section a plugin, not yet held against the plugins' schemas. */
  readonly sections: { readonly [plugin: string]: unknown };
  /** The process of every plugin. */
  readonly placement: ReadonlyMap<string, string>;
  readonly outbound: v.InferOutput<typeof outbound>;
  readonly storage: StorageConfig;
}

/**
 * Everything a process needs, from its home.
 *
 * @throws {CompositionError} naming the file and what is wrong with it.
 */
export async function loadHome(home: string): Promise<Installed> {
  const root = resolve(home);
  const { origin, natsPort } = await readInstance(root);
  const configuration = await readConfiguration(root);
  const joined = await readJoined(root);
  const authorities = configuration.outbound.authorityFiles.map((file) =>
    isAbsolute(file) ? file : join(root, file),
  );
  return {
    entries: plugins,
    guests: [operator],
    config:
      joined === null ? configuration.sections : movedListeners(configuration.sections, joined),
    placement: configuration.placement,
    natsUrl: `nats://127.0.0.1:${natsPort}`,
    storage: await storageOf(root, configuration.storage),
    fetch: createFetch({
      // The demo's own identity provider is on this machine.
      allowLoopback: /^(?:localhost|127(?:\.\d{1,3}){3})$/.test(new URL(origin).hostname),
      privateHosts: configuration.outbound.privateHosts,
      extraAuthorities: await authoritiesIn(authorities),
    }),
  };
}

const wholeCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/;

/**
 * The authorities in these files, as they are at each time: `chancery tls` replaces one while the services run. A file that is gone, or
 * has no whole certificate, as while somebody copies one there, stays what it was.
 *
 * @throws {CompositionError} if one cannot be read now.
 */
async function authoritiesIn(paths: readonly string[]): Promise<() => Promise<readonly string[]>> {
  let known = await Promise.all(paths.map(read));
  return async () => {
    const now = await Promise.all(paths.map(async (path) => await read(path).catch(() => "")));
    known = now.map((text, at) => (wholeCertificate.test(text) ? text : (known[at] ?? "")));
    return known;
  };
}

/** The storage of a home. @throws {CompositionError} if its configuration is wrong. */
export async function openStorage(home: string): Promise<StorageDriver> {
  const { storage: config } = await readConfiguration(home);
  return await storageOf(home, config);
}

/** The storage that a configuration means, for the home it is in. */
export async function storageOf(home: string, config: StorageConfig): Promise<StorageDriver> {
  if (config.driver === "sqlite") return sqliteDriver({ directory: join(home, "data") });
  // A process maps only the code it runs.
  const { postgresDriver } = await import("../plugins/storage/postgres.ts");
  const { driver: _driver, passwordFile, authorityFile, ...options } = config;
  return postgresDriver({
    ...options,
    ...(passwordFile !== undefined && { passwordFile: resolve(home, passwordFile) }),
    ...(authorityFile !== undefined && { authorityFile: resolve(home, authorityFile) }),
  });
}

/** @throws {CompositionError} unless the home has a well-formed `instance.json`. */
export async function readInstance(home: string): Promise<Instance> {
  const path = join(home, "instance.json");
  return accept(path, instance, jsonOf(path, await read(path)));
}

/** @throws {CompositionError} unless the home has a well-formed `config.yaml`. */
export async function readConfiguration(home: string): Promise<Configuration> {
  const path = join(home, "config.yaml");
  return parseConfiguration(path, await read(path));
}

/**
 * Takes a configuration apart. YAML 1.2 without its traps: no duplicate keys, no anchors, no tags.
 *
 * @throws {CompositionError}
 */
export function parseConfiguration(path: string, text: string): Configuration {
  const {
    placement: moved = {},
    outbound: reach = {},
    storage: kept = { driver: "sqlite" },
    ...sections
  } = yamlOf(path, text);
  return {
    sections,
    placement: place(path, accept(`${path}: placement`, placement, moved)),
    outbound: accept(`${path}: outbound`, outbound, reach),
    storage: accept(`${path}: storage`, storage, kept),
  };
}

/** What the supervisor runs besides the plugins' processes; records and journals go by these names. */
const reservedNames: readonly string[] = ["nats", "supervisor"];

function place(path: string, moved: { readonly [plugin: string]: string }): Map<string, string> {
  const placed = new Map<string, string>(
    plugins.map(({ manifest, process }) => [manifest.name, process]),
  );
  for (const [plugin, process] of Object.entries(moved)) {
    if (!placed.has(plugin)) {
      throw new CompositionError(`${path}: placement: there is no plugin "${plugin}"`);
    }
    if (reservedNames.includes(process)) {
      throw new CompositionError(
        `${path}: placement: "${plugin}" is placed in "${process}", which is a name of the supervisor's own: choose another`,
      );
    }
    placed.set(plugin, process);
  }
  const vault = placed.get("hsm");
  const beside = [...placed].find(([name, process]) => name !== "hsm" && process === vault);
  if (beside) {
    throw new CompositionError(
      `${path}: placement: "${beside[0]}" is placed with the vault, which shares its process with nobody`,
    );
  }
  return placed;
}

function yamlOf(path: string, text: string): { [key: string]: unknown } {
  const document = parseDocument(text, { version: "1.2", uniqueKeys: true, strict: true });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw new CompositionError(`${path}: ${problem.message.split("\n")[0] ?? ""}`);
  try {
    const value: unknown = document.toJS({ maxAliasCount: 0 });
    if (value === null) return {};
    if (typeof value === "object" && !Array.isArray(value)) return { ...value };
  } catch (cause) {
    throw new CompositionError(`${path}: anchors and aliases are not used here: write it out`, {
      cause,
    });
  }
  throw new CompositionError(`${path}: expected one section a plugin`);
}

function jsonOf(path: string, text: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    throw new CompositionError(`${path} is not JSON: restore it from a backup`, { cause });
  }
}

function accept<S extends v.GenericSchema>(
  where: string,
  schema: S,
  value: unknown,
): v.InferOutput<S> {
  const checked = v.safeParse(schema, value);
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  throw new CompositionError(`${where}: ${v.getDotPath(issue) ?? "(root)"}: ${issue.message}`);
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CompositionError(`${reason}: is this a Chancery home?`, { cause });
  }
}
