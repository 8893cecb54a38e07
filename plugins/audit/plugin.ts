/** Follows the issuer's, the sign-in's and the logs' facts and writes them down as a chain of records. It catches up after whatever kept it away. */
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "../../events/failure.ts";
import { readEntries } from "../../events/log.ts";
import { recordEntry } from "./entries.ts";
import {
  recordCounted,
  recordIssued,
  recordRefused,
  recordSignIn,
  recordSignInsRefused,
} from "./issuances.ts";
import { audit } from "./manifest.ts";
import type { Body } from "./record.ts";
import { openTrail } from "./trail.ts";

/** Entries asked for at once. */
const entriesAtOnce = 256;
/** How often the head is told in the journal while it moves: whoever keeps journals elsewhere keeps a witness of the trail. */
const tellEveryMs = 60_000;
/** An entry is durable before it is published; this is how long that is waited for. */
const publication = { tries: 20, pauseMs: 50 };

export default audit.implement(async ({ ask, stores, journal }) => {
  const trail = await openTrail(await stores.open(), journal);
  let toldMs = performance.now();
  let toldSequence = trail.head().sequence;

  const tell = (): void => {
    const { sequence, hash } = trail.head();
    if (sequence === toldSequence) return;
    [toldMs, toldSequence] = [performance.now(), sequence];
    journal.info("audit-head", { sequence, hash });
  };
  const taking = async (
    envelope: { readonly from: string; readonly stream: string; readonly sequence: bigint },
    record: (source: { stream: string; sequence: number }) => readonly Body[],
  ): Promise<void> => {
    await Promise.resolve();
    const source = sourceOf(envelope);
    if (!trail.knows(source)) trail.take(source, record(source));
  };

  return {
    handlers: {
      certificateIssued: async (fact, envelope) =>
        await taking(envelope, (source) => [recordIssued(fact, source)]),
      certificateRefused: async (fact, envelope) =>
        await taking(envelope, (source) => [recordRefused(fact, source)]),
      refusalsCounted: async (fact, envelope) =>
        await taking(envelope, (source) => [recordCounted(fact, source)]),
      idTokenIssued: async (fact, envelope) =>
        await taking(envelope, (source) => [recordSignIn(fact, source)]),
      signInsRefused: async (fact, envelope) =>
        await taking(envelope, (source) => [recordSignInsRefused(fact, source)]),
      async entriesAppended({ log, from, to }, envelope) {
        const source = sourceOf(envelope);
        if (trail.knows(source)) return;
        const bodies: Body[] = [];
        for (let next = from; next < to;) {
          const entries = await published(ask, { log, from: next, to });
          bodies.push(...entries.map((entry) => recordEntry(log, entry, source)));
          next += BigInt(entries.length);
        }
        trail.take(source, bodies);
      },
    },
    async settle() {
      await trail.settle();
      if (performance.now() - toldMs >= tellEveryMs) tell();
    },
    async [Symbol.asyncDispose]() {
      await Promise.resolve();
      tell();
    },
  };
});

type Ask = Parameters<Parameters<typeof audit.implement>[0]>[0]["ask"];

async function published(
  ask: Ask,
  { log, from, to }: { readonly log: string; readonly from: bigint; readonly to: bigint },
) {
  const left = to - from;
  const limit = left < BigInt(entriesAtOnce) ? Number(left) : entriesAtOnce;
  for (let tries = 0; tries < publication.tries; tries++) {
    const { entries } = await ask(readEntries, { log, from, limit });
    if (entries.length > 0) return entries;
    await sleep(publication.pauseMs);
  }
  throw new Failure("overloaded", `entry ${from} of the log "${log}" is not published yet`);
}

/** Numbers of facts fit a double for longer than any store lives. Members in the order in which a record has them. */
function sourceOf({
  from,
  stream,
  sequence,
}: {
  readonly from: string;
  readonly stream: string;
  readonly sequence: bigint;
}) {
  return { sequence: Number(sequence), stream: `${from}/${stream}` };
}
