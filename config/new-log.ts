/** What a new log is told of its place among those there are: a shard's interval, a tree's number. */
import { createHash } from "node:crypto";
import { logAlgorithms, type LogCreation } from "../hsm/commands.ts";
import { type Arguments, CommandError, exitCodes } from "../plugins/client/commands.ts";
import { nextInterval } from "../plugins/ct/commands.ts";
import { readLogs } from "./log-house.ts";

/** Which certificates a new shard of the CT log takes: those of the year after the last shard, unless the flags say otherwise. */
export async function intervalOf(
  parsed: Arguments,
  { home, log, format }: { readonly home: string; readonly log: string; readonly format: string },
): Promise<LogCreation["interval"]> {
  const [start, end] = ["start", "end"].map((flag) => instantOf(parsed, flag));
  if (format !== "rfc6962") {
    if (!start && !end) return undefined;
    throw new CommandError(exitCodes.usage, "--start and --end are for logs of the format rfc6962");
  }
  const { shards } = await readLogs(home);
  // Asked again after it was added: the same interval, or it would be another operation.
  const at = shards.findIndex((shard) => shard.log === log);
  const next = nextInterval(at < 1 ? shards : shards.slice(0, at), new Date());
  const own = shards[at];
  const from = start ?? own?.start ?? next.start;
  return {
    start: from,
    end: end ?? own?.end ?? nextInterval([{ log, start: null, end: from }], from).end,
  };
}

/** Kind of a new log's key: P-256 unless it is said, since policy-controller refuses a whole trusted root for one log of another. */
export function keyKindOf(
  parsed: Arguments,
  format: LogCreation["format"],
): LogCreation["algorithm"] {
  const said = parsed.value("algorithm") ?? "ecdsa-p256";
  const algorithm = logAlgorithms.find((one) => one === said);
  if (algorithm === undefined) {
    throw new CommandError(exitCodes.usage, `--algorithm is ${logAlgorithms.join(" or ")}`);
  }
  if (algorithm === "ecdsa-p256" || format === "rekor-v2") return algorithm;
  throw new CommandError(exitCodes.usage, `logs of the format ${format} have keys of P-256`);
}

/** The same number whenever it is asked for, so that an interrupted operation goes on with it. */
export async function treeOf(
  home: string,
  log: string,
  instance: string,
): Promise<LogCreation["tree"]> {
  const { active, rekor } = await readLogs(home);
  const id = treeIdOf(instance, log);
  if (rekor.log !== log) return { id, after: active.rekorV1 };
  const before = rekor.shards.at(-1);
  return before && { id, after: before.log };
}

/** The number of a log's tree in this instance. */
function treeIdOf(instance: string, log: string): string {
  const digest = createHash("sha256").update(`${instance}/${log}`).digest();
  return String((digest.readBigUInt64BE(0) >> 2n) | (1n << 61n));
}

/**
 * What takes over from a log. Unless it is given a name it is the next number; asked again after it was added, it is the same.
 *
 * @throws {CommandError} if the log takes no entries, or is none of Rekor
 */
export async function successorOf(
  { log, name, key }: { readonly log: string; readonly name?: string; readonly key?: string },
  { home, instance }: { readonly home: string; readonly instance: string },
): Promise<{
  readonly log: string;
  readonly key: string;
  readonly format: "rekor-v1" | "rekor-v2";
  readonly treeId?: string;
}> {
  const { logs, active } = await readLogs(home);
  const old = logs.find((one) => one.name === log);
  if (!old || old.format === "rfc6962") {
    const reason = old
      ? `"${log}" is a CT log, whose shards follow each other by date: create-log NAME --format rfc6962`
      : `there is no log "${log}"`;
    throw new CommandError(exitCodes.usage, reason);
  }
  const next = logs.find(({ after }) => after === log);
  const successor = next?.name ?? name ?? numbered(log);
  if (!next && active.rekorV1 !== log && active.rekorV2 !== log) {
    throw new CommandError(exitCodes.failed, `"${log}" does not take what clients send`);
  }
  if (name !== undefined && name !== successor) {
    throw new CommandError(exitCodes.usage, `the successor of "${log}" is "${successor}"`);
  }
  const { format } = old;
  return {
    log: successor,
    key: next?.key ?? key ?? `${successor}-log`,
    format,
    ...(format === "rekor-v1" && { treeId: treeIdOf(instance, successor) }),
  };
}

/** `rekor-v2` is followed by `rekor-v2-s2`, and that by `rekor-v2-s3`. */
function numbered(log: string): string {
  const [, base = log, number = "1"] = /^(.*)-s(\d{1,4})$/.exec(log) ?? [];
  return `${base}-s${Number(number) + 1}`;
}

function instantOf(parsed: Arguments, flag: string): Date | undefined {
  const text = parsed.value(flag);
  if (text === undefined) return undefined;
  const at = new Date(text);
  const isTime =
    /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}Z)?$/.test(text) && !Number.isNaN(at.getTime());
  // V8 takes the 31st of February for a day in March.
  if (isTime && at.toISOString().startsWith(text.replace("Z", ""))) return at;
  throw new CommandError(
    exitCodes.usage,
    `--${flag} is a day or a second of UTC, such as 2027-01-01`,
  );
}
