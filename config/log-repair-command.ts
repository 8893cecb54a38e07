/** `chancery log repair`: what follows from a log's entries is made anew from them, while nothing else has the log open. */
import { resolve } from "node:path";
import { decodeHex } from "../core/formats/encoding.ts";
import { driverName } from "../core/stores.ts";
import { MissingPartition, type Partition, type StorageDriver } from "../core/storage.ts";
import {
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { Irreparable, repairLog } from "../plugins/log/commands.ts";
import { vaultReport } from "./fsck-command.ts";
import { openStorage } from "./load.ts";
import { readLogs } from "./log-house.ts";
import { partitionsIn } from "./storage.ts";

/** `log repair LOG`. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: ["LOG"], values: [], switches: ["json"] });
  const [name = ""] = parsed.operands;
  const home = resolve(terminal.folder, terminal.environment["CHANCERY_HOME"] || ".chancery");
  const { logs } = await readLogs(home);
  const found = logs.find((one) => one.name === name);
  if (found === undefined) throw new CommandError(exitCodes.usage, `there is no log "${name}"`);
  await using storage = await openStorage(home);
  await using partition = await openLog(storage, home, name);
  const { heads } = await vaultReport(home);
  const head = heads[found.key];
  const signed = head === undefined ? null : { size: head.size, root: decodeHex(head.root) };
  try {
    const { entries, ...made } = await repairLog({ partition, format: found.format, signed });
    const { tiles, indexed, removed } = made;
    if (parsed.has("json")) {
      terminal.print(JSON.stringify({ log: name, entries: String(entries), ...made }));
    } else {
      terminal.print(
        `log ${name}, ${entries} entries: ${tiles} tiles and ${indexed} index rows made anew, ${removed} stray rows removed`,
      );
    }
    return exitCodes.ok;
  } catch (thrown) {
    if (!(thrown instanceof Irreparable)) throw thrown;
    const message = `log ${name}: ${thrown.message}; nothing was changed`;
    throw new CommandError(exitCodes.failed, message, { cause: thrown });
  }
}

async function openLog(storage: StorageDriver, home: string, name: string): Promise<Partition> {
  const driver = driverName("log", name);
  const shape = (await partitionsIn(home)).find((one) => one.name === driver)?.shape;
  if (shape === undefined) throw new CommandError(exitCodes.usage, `there is no log "${name}"`);
  return await storage.open(driver, shape).catch((cause: unknown) => {
    const code = cause instanceof MissingPartition ? exitCodes.failed : exitCodes.environment;
    const why = cause instanceof Error ? cause.message : "it cannot be opened";
    throw new CommandError(code, why, { cause });
  });
}
