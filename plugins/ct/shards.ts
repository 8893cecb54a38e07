/**
 * Which log takes which certificates: one takes all of them, or each of several those that end within its interval (temporal
 * sharding, as the log lists of browsers describe it: the start belongs to the interval, the end does not).
 */
import * as v from "valibot";
import { Failure } from "../../events/failure.ts";
import { logName } from "../../events/log.ts";

/** A log and the bounds of the notAfter that it takes; null is no bound. */
export interface Shard {
  readonly log: string;
  readonly start: Date | null;
  readonly end: Date | null;
}

/** A day or a second of UTC. */
const instant = v.pipe(
  v.string(),
  v.regex(/^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}Z)?$/),
  v.check((text) => isOnCalendar(text), "there is no such time"),
);

/** Several logs, oldest first. Only the first may have no start, only the last no end. */
export const shardList = v.pipe(
  v.array(v.strictObject({ log: logName, start: v.optional(instant), end: v.optional(instant) })),
  v.minLength(1),
  v.maxLength(64),
  v.check(
    (shards) => new Set(shards.map(({ log }) => log)).size === shards.length,
    "two shards are one log",
  ),
  v.check(
    (shards) => shards.every(isInOrder),
    "each shard ends after it starts, and before the next starts",
  ),
);

/** The shards that a configuration comes to. */
export function shardsOf({
  log = "ct",
  shards,
}: {
  readonly log?: string | undefined;
  readonly shards?: v.InferOutput<typeof shardList> | undefined;
}): readonly Shard[] {
  if (shards === undefined) return [{ log, start: null, end: null }];
  return shards.map(({ log: name, start, end }) => ({
    log: name,
    start: start === undefined ? null : new Date(start),
    end: end === undefined ? null : new Date(end),
  }));
}

/** The year that begins when the last shard ends; if that is open, the next year of the calendar. */
export function nextInterval(
  shards: readonly Shard[],
  now: Date,
): { readonly start: Date; readonly end: Date } {
  const start = shards.at(-1)?.end ?? new Date(Date.UTC(now.getUTCFullYear() + 1, 0));
  const end = new Date(start);
  end.setUTCFullYear(start.getUTCFullYear() + 1);
  return { start, end };
}

/** True if a certificate that ends at `notAfter` belongs into the shard. */
export function takes({ start, end }: Shard, notAfter: Date): boolean {
  return (start === null || notAfter >= start) && (end === null || notAfter < end);
}

/** The shard called `log`. @throws {Failure} not-found */
export function shardCalled(shards: readonly Shard[], log: string): Shard {
  const found = shards.find((shard) => shard.log === log);
  if (found === undefined) throw new Failure("not-found", "there is no such log");
  return found;
}

/** The shard for a certificate that ends at `notAfter`. @throws {Failure} chain-rejected if none takes it, or not the one asked for. */
export function shardFor(
  shards: readonly Shard[],
  notAfter: Date,
  asked: string | undefined,
): Shard {
  const shard =
    asked === undefined ? shards.find((one) => takes(one, notAfter)) : shardCalled(shards, asked);
  if (shard !== undefined && takes(shard, notAfter)) return shard;
  throw new Failure("chain-rejected", "the certificate ends outside the interval of this log");
}

type Configured = { readonly start?: string | undefined; readonly end?: string | undefined };

function isInOrder({ start, end }: Configured, at: number, all: readonly Configured[]): boolean {
  const next = all[at + 1];
  const isOrdered = start === undefined || end === undefined || Date.parse(start) < Date.parse(end);
  if (next === undefined) return isOrdered;
  if (end === undefined || next.start === undefined) return false;
  return isOrdered && Date.parse(end) <= Date.parse(next.start);
}

/** V8 rolls the 31st of February over into March. */
function isOnCalendar(text: string): boolean {
  const at = new Date(text);
  return (
    !Number.isNaN(at.getTime()) && at.toISOString().startsWith(text.slice(0, 19).replace("Z", ""))
  );
}
