/** What a new log is told of its place among those there are: a shard's interval, a tree's number. */
import { createHash } from "node:crypto";
import type { LogCreation } from "../hsm/commands.ts";
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

/** The same number whenever it is asked for, so that an interrupted operation goes on with it. */
export async function treeOf(
  home: string,
  log: string,
  instance: string,
): Promise<LogCreation["tree"]> {
  const { rekor } = await readLogs(home);
  const digest = createHash("sha256").update(`${instance}/${log}`).digest();
  const id = String((digest.readBigUInt64BE(0) >> 2n) | (1n << 61n));
  if (rekor.log !== log) return { id, after: rekor.log };
  const before = rekor.shards.at(-1);
  return before && { id, after: before.log };
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
