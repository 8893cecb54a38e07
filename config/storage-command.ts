/** `chancery storage copy`: moves what an instance keeps to another storage, while the instance is stopped. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { CompositionError } from "../core/graph.ts";
import {
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { type CopiedPartition, copyPartition } from "../plugins/storage/copy.ts";
import { openStorage, parseConfiguration, storageOf } from "./load.ts";
import type { StorageConfig } from "./schema.ts";
import { isThere, partitionsIn } from "./storage.ts";

/** `storage copy FILE`: FILE is the section `storage` of the configuration to be. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [verb, ...rest] = args;
  if (verb !== "copy") throw new CommandError(exitCodes.usage, "say: storage copy FILE");
  const parsed = parseArguments(rest, { operands: ["FILE"], values: [], switches: ["json"] });
  const home = resolve(terminal.folder, terminal.environment["CHANCERY_HOME"] || ".chancery");
  const file = resolve(terminal.folder, parsed.operands[0] ?? "");
  const config = await readTarget(file);
  const copied = await copyAll(home, config, (one) => {
    terminal.complain(`${one.name}: ${one.rows} rows, SHA-256 ${one.sha256}`);
  });
  if (parsed.has("json")) terminal.print(JSON.stringify({ copied }));
  else {
    terminal.print(
      `copied and compared ${copied.length} partitions; to use them, put the section "storage" of ${file} into ${home}/config.yaml, start, and say: chancery fsck`,
    );
  }
  return exitCodes.ok;
}

async function readTarget(file: string): Promise<StorageConfig> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new CommandError(exitCodes.environment, `${file} cannot be read`, { cause });
  });
  try {
    const { storage, sections } = parseConfiguration(file, text);
    if (Object.keys(sections).length === 0) return storage;
  } catch (thrown) {
    if (!(thrown instanceof CompositionError)) throw thrown;
    throw new CommandError(exitCodes.environment, thrown.message, { cause: thrown });
  }
  throw new CommandError(
    exitCodes.environment,
    `${file} holds other sections than "storage"; write that one alone`,
  );
}

async function copyAll(
  home: string,
  config: StorageConfig,
  report: (copied: CopiedPartition) => void,
): Promise<readonly CopiedPartition[]> {
  try {
    await using from = await openStorage(home);
    await using to = await storageOf(home, config);
    const copied: CopiedPartition[] = [];
    for (const partition of await partitionsIn(home)) {
      // One that only newer releases have is made by their first start, wherever the home is kept.
      if (!(await isThere(from, partition.name))) continue;
      const one = await copyPartition(from, to, partition);
      report(one);
      copied.push(one);
    }
    return copied;
  } catch (thrown) {
    if (!(thrown instanceof Error)) throw thrown;
    throw new CommandError(exitCodes.failed, thrown.message, { cause: thrown });
  }
}
