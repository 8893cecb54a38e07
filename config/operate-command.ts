/** `chancery operate`: what an operator does to a live instance. Asked for again, an operation that was interrupted goes on. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { PinRefused } from "../core/plugin.ts";
import { Failure } from "../events/failure.ts";
import { keyLabel } from "../events/hsm.ts";
import { logName } from "../events/log.ts";
import {
  abandon,
  createLog,
  freezeLogForever,
  openOffline,
  type OperationRequest,
  type OperationResult,
  publishNextRoot,
  retireLogForever,
  rollLogOver,
  rotateIssuingCa,
  VaultRefused,
} from "../hsm/commands.ts";
import { hsm } from "../hsm/manifest.ts";
import {
  type Arguments,
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { rotationFlags, rotationOf } from "./new-ca.ts";
import { intervalOf, keyKindOf, successorOf, treeOf } from "./new-log.ts";
import { readPins } from "./ceremony-pins.ts";
import { readConfiguration, readInstance } from "./load.ts";
import { logHouse, readLogs } from "./log-house.ts";
import { connectOperator } from "./operator-bus.ts";

const operations: {
  readonly [what: string]: (args: readonly string[], terminal: Terminal) => Promise<Asked>;
} = {
  "rotate-issuing-ca": rotate,
  "create-log": create,
  "roll-log": roll,
  "freeze-log": freeze,
  "retire-log": retire,
  abandon: giveUp,
};

/** An operation that was understood. */
interface Asked {
  readonly parsed: Arguments;
  readonly perform: (request: OperationRequest) => Promise<OperationResult>;
  /** What an operator should know when it is done. */
  readonly next: string;
}

const common = ["offline-token", "pin-fd"];
const offlineLabel = "chancery-offline";

/** `operate rotate-issuing-ca|create-log|roll-log|freeze-log|retire-log|publish-root|abandon`. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [what = "", ...rest] = args;
  const understand = Object.hasOwn(operations, what) ? operations[what] : undefined;
  if (!understand && what !== "publish-root") {
    const all = [...Object.keys(operations), "publish-root"].join(", ");
    throw new CommandError(exitCodes.usage, `say ${all}`);
  }
  try {
    if (!understand) return await publish(rest, terminal);
    const { parsed, perform, next } = await understand(rest, terminal);
    const { transcript, wasDone } = await withRequest(parsed, terminal, perform);
    if (parsed.has("json")) terminal.print(JSON.stringify({ transcript, wasDone, next }));
    else terminal.print(`${wasDone ? "was done before" : "done"}: ${transcript}\n${next}`);
    return exitCodes.ok;
  } catch (thrown) {
    throw worded(thrown);
  }
}

function worded(thrown: unknown): unknown {
  if (thrown instanceof VaultRefused || thrown instanceof PinRefused) {
    return new CommandError(exitCodes.failed, thrown.message, { cause: thrown });
  }
  if (!(thrown instanceof Failure)) return thrown;
  const again = thrown.retry ? "; what was done stays: ask again and it goes on" : "";
  const message = `the instance answers ${thrown.code}: ${thrown.message}${again}`;
  return new CommandError(exitCodes.failed, message, { cause: thrown });
}

async function withRequest(
  parsed: Arguments,
  terminal: Terminal,
  perform: Asked["perform"],
): Promise<OperationResult> {
  const home = homeOf(terminal);
  await readInstance(home);
  const { sections } = await readConfiguration(home);
  const { module } = v.parse(
    v.looseObject({ module: hsm.manifest.config.entries.module }),
    sections["hsm"],
  );
  await using bus = await connectOperator(home);
  return await perform({
    home,
    module,
    offlineToken: parsed.value("offline-token") ?? offlineLabel,
    offlinePin: await offlinePin(home, parsed.value("pin-fd")),
    ask: bus.ask,
    report: (step) => terminal.complain(step),
  });
}

/** Undefined if the home keeps it in a file, as demos do. */
async function offlinePin(
  home: string,
  descriptors: string | undefined,
): Promise<string | undefined> {
  const isKept = existsSync(join(home, "secrets", "offline-pin"));
  if (descriptors === undefined && isKept) return undefined;
  return (await readPins(["offline"], descriptors))["offline"];
}

async function rotate(args: readonly string[], terminal: Terminal): Promise<Asked> {
  const parsed = parseArguments(args, {
    operands: ["KEY"],
    values: [...rotationFlags, ...common],
    switches: ["json"],
  });
  const key = checked(keyLabel, parsed.operands[0], "KEY");
  const rotation = await rotationOf(parsed, { home: homeOf(terminal), key });
  return {
    parsed,
    perform: async (request) => await rotateIssuingCa(request, rotation),
    next: `certificates are issued by ${key}; those of the CA before it stay valid`,
  };
}

async function create(args: readonly string[], terminal: Terminal): Promise<Asked> {
  const parsed = parseArguments(args, {
    operands: ["LOG"],
    values: ["format", "key", "algorithm", "origin", "start", "end", ...common],
    switches: ["serve", "json"],
  });
  const log = checked(logName, parsed.operands[0], "LOG");
  const format = checked(
    v.picklist(["rekor-v2", "rekor-v1", "rfc6962"]),
    parsed.value("format"),
    "--format",
  );
  const serve = parsed.has("serve");
  if (serve && format === "rfc6962") {
    throw new CommandError(exitCodes.usage, "--serve is for logs of Rekor");
  }
  if (!serve && format === "rekor-v1") {
    throw new CommandError(
      exitCodes.usage,
      "a Rekor v1 log takes over from the one before it: say --serve",
    );
  }
  const home = homeOf(terminal);
  const { origin, id } = await readInstance(home);
  const creation = {
    log,
    format,
    key: checked(keyLabel, parsed.value("key") ?? `${log}-log`, "--key"),
    algorithm: keyKindOf(parsed, format),
    origin: parsed.value("origin") ?? new URL(origin).hostname,
    baseUrl: serve ? origin : `${origin}/logs/${log}`,
    serve,
    interval: await intervalOf(parsed, { home, log, format }),
    tree: format === "rekor-v1" ? await treeOf(home, log, id) : undefined,
  };
  const takes =
    creation.interval &&
    `; it takes the certificates that end from ${creation.interval.start.toISOString()} on`;
  return {
    parsed,
    perform: async (request) => await createLog(request, creation, logHouse(home)),
    next: `the log ${log} runs from the next start of the instance; its tiles are at /logs/${log}/${takes ?? ""}`,
  };
}

async function roll(args: readonly string[], terminal: Terminal): Promise<Asked> {
  const parsed = parseArguments(args, {
    operands: ["LOG"],
    values: ["name", "key", "algorithm", "origin", ...common],
    switches: ["json"],
  });
  const from = checked(logName, parsed.operands[0], "LOG");
  const home = homeOf(terminal);
  const { origin, id } = await readInstance(home);
  const optional = <S extends v.GenericSchema>(schema: S, flag: "name" | "key") => {
    const value = parsed.value(flag);
    return value === undefined ? {} : { [flag]: checked(schema, value, `--${flag}`) };
  };
  const asked = { log: from, ...optional(logName, "name"), ...optional(keyLabel, "key") };
  const { treeId, ...successor } = await successorOf(asked, { home, instance: id });
  const succession = {
    ...successor,
    algorithm: keyKindOf(parsed, successor.format),
    origin: parsed.value("origin") ?? new URL(origin).hostname,
    baseUrl: origin,
    serve: false,
    takesOver: { from, treeId },
  };
  return {
    parsed,
    perform: async (request) => await rollLogOver(request, succession, logHouse(home)),
    next: `the log ${successor.log} takes what clients send; ${from} is read for ever, its tiles at /logs/${from}/`,
  };
}

async function freeze(args: readonly string[], terminal: Terminal): Promise<Asked> {
  const parsed = parseArguments(args, {
    operands: ["LOG"],
    values: common,
    switches: ["without-successor", "json"],
  });
  const { log, active } = await knownLog(parsed, terminal);
  if (Object.values(active).flat().includes(log) && !parsed.has("without-successor")) {
    throw new CommandError(
      exitCodes.failed,
      `"${log}" takes what clients send: create its successor first (create-log NAME --format FORMAT --serve), or say --without-successor`,
    );
  }
  const ends = log === active.rekorV2 ? 2 : log === active.rekorV1 ? 1 : null;
  return {
    parsed,
    perform: async (request) => await freezeLogForever(request, { log, ends }),
    next: `the log ${log} takes nothing more and is read for ever`,
  };
}

async function retire(args: readonly string[], terminal: Terminal): Promise<Asked> {
  const parsed = parseArguments(args, { operands: ["LOG"], values: common, switches: ["json"] });
  const { log } = await knownLog(parsed, terminal);
  return {
    parsed,
    perform: async (request) => await retireLogForever(request, log),
    next: `the log ${log} is read for ever without its key, which a ceremony may destroy`,
  };
}

async function knownLog(parsed: Arguments, terminal: Terminal) {
  const log = checked(logName, parsed.operands[0], "LOG");
  const { logs, active } = await readLogs(homeOf(terminal));
  if (logs.some(({ name }) => name === log)) return { log, active };
  throw new CommandError(exitCodes.usage, `there is no log "${log}"`);
}

async function giveUp(args: readonly string[]): Promise<Asked> {
  const parsed = parseArguments(args, {
    operands: ["OPERATION"],
    values: common,
    switches: ["json"],
  });
  await Promise.resolve();
  const operation = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,63}$/));
  const name = checked(operation, parsed.operands[0], "OPERATION");
  return {
    parsed,
    perform: async (request) => {
      const open = openOffline(request.offlineToken, { certifies: false });
      return await abandon(request, { name, open });
    },
    next: `the operation ${name} was given up; what it made stays and is not used`,
  };
}

/** Opens no token: what it hands over was signed at a ceremony. */
async function publish(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: ["FILE"], values: [], switches: ["json"] });
  const home = homeOf(terminal);
  await readInstance(home);
  await using bus = await connectOperator(home);
  const report = (step: string): void => terminal.complain(step);
  const path = resolve(terminal.folder, parsed.operands[0] ?? "");
  const { version, wasDone } = await publishNextRoot({ home, ask: bus.ask, report }, path);
  if (parsed.has("json")) terminal.print(JSON.stringify({ version, wasDone }));
  else terminal.print(`root ${version} is what clients get${wasDone ? ", as before" : ""}`);
  return exitCodes.ok;
}

function checked<S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  name: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  throw new CommandError(exitCodes.usage, `${name}: ${result.issues[0].message}`);
}

function homeOf({ environment, folder }: Terminal): string {
  return resolve(folder, environment["CHANCERY_HOME"] || ".chancery");
}
