/**
 * The log room of a home, alone with the vault in one process: no door, no NATS, no signature of a client's to check. The entries go the way
 * they always go: pool, sequencer, one transaction of the real SQLite store for each batch, and a checkpoint signed by the home's own SoftHSM
 * token, with guard and ledger. Over IPC `{ id, run: FillJob }` is answered with `{ id, done }` or `{ id, failed }`.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadHome } from "../../config/load.ts";
import { pairs } from "../../core/acl.ts";
import { systemClock } from "../../core/clock.ts";
import { uintBytes, encodeUtf8 } from "../../core/formats/encoding.ts";
import { boot, configure } from "../../core/kernel.ts";
import { startOrder } from "../../core/graph.ts";
import { memoryBus } from "../../core/memory.ts";
import { sealsFrom } from "../../core/seals.ts";
import { readPairKeys } from "../../core/secrets.ts";
import { cursorTable, factStream, partitionsOf } from "../../core/stores.ts";
import type { AnswerOf, Ask, QuestionOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { appendEntry, latestHead, proveInclusion } from "../../events/log.ts";
import { silentJournal } from "../support/boot.ts";
import { bodyMaker, filledLog } from "./entries.ts";
import { quantile } from "./load.ts";

/** What the process is told. */
export type FillJob =
  /** Appends generated entries until the log has `size`, or so many more. */
  | { readonly append: { readonly size: number } | { readonly count: number } }
  /** Proves random entries under the newest head, one after the other. */
  | { readonly prove: number }
  | { readonly size: true }
  /** Has the audit trail begin behind what was generated, and ends. */
  | { readonly end: true };

/** What came of it. */
export interface Filled {
  readonly size: number;
  readonly seconds: number;
  /** Of the whole process: this thread, the storage's threads, garbage collection. */
  readonly cpuMs: number;
  /** Of single proofs, for `prove`. */
  readonly latencyMs?: { readonly p50: number | null; readonly p99: number | null };
  readonly entryBytes: number;
}

/** As many as the log lets be on their way. */
const lanes = 2_048;

const home = process.argv[2] ?? "";
const makeBody = bodyMaker();
const house = await open();

process.on("message", (message: { readonly id: number; readonly run: FillJob }) => {
  perform(message.run).then(
    (done) => process.send?.({ id: message.id, done }),
    (thrown: unknown) => {
      const failed = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
      process.send?.({ id: message.id, failed });
    },
  );
});
process.once("disconnect", () => process.exit(0));

async function open() {
  const { entries, config, storage } = await loadHome(home);
  const manifests = startOrder(entries.map(({ manifest }) => manifest));
  const here = (name: string): boolean => name === "hsm" || name === "log";
  const keys = await readPairKeys(
    home,
    pairs(manifests).filter((pair) => pair.some(here)),
  );
  // The watchdog looks at an event loop that has to answer others; this one has none.
  const own = { ...config, hsm: { ...(config["hsm"] as object), hangLimitMs: 0 } };
  const bus = memoryBus();
  const surroundings = {
    bus,
    clock: systemClock,
    journal: () => silentJournal,
    storage,
    seals: sealsFrom(keys),
    fetch: async () => await Promise.reject(new Error("nothing is fetched here")),
    home,
    pin: async () => (await readFile(join(home, "secrets", "pin"), "utf8")).trim(),
    needWithinMs: 0,
    fatal: (reason: string) => {
      process.stderr.write(`filler: ${reason}\n`);
      process.exit(1);
    },
  };
  const installation = await boot(entries, own, surroundings, here);
  const partitions = partitionsOf(manifests, await configure(manifests, own));
  return { installation, storage, partitions };
}

/** Asks as the room `rekor` would. */
async function ask<A extends Ask>(what: A, question: QuestionOf<A>): Promise<AnswerOf<A>> {
  // The schema of this very ask has accepted the answer.
  return (await house.installation.ask(what, question, "rekor")) as never;
}

async function perform(job: FillJob): Promise<Filled> {
  if ("end" in job) {
    await end();
    setImmediate(() => process.exit(0));
    return { size: 0, seconds: 0, cpuMs: 0, entryBytes: 0 };
  }
  const size = await logSize();
  const before = process.cpuUsage();
  const startedAt = performance.now();
  const found = await work(job, size);
  const { user, system } = process.cpuUsage(before);
  return {
    size: await logSize(),
    seconds: (performance.now() - startedAt) / 1_000,
    cpuMs: (user + system) / 1_000,
    ...found,
  };
}

async function work(
  job: Exclude<FillJob, { end: true }>,
  size: number,
): Promise<Pick<Filled, "entryBytes" | "latencyMs">> {
  if ("size" in job) return { entryBytes: 0 };
  if ("prove" in job) return { entryBytes: 0, latencyMs: await prove(job.prove, size) };
  const until = "size" in job.append ? job.append.size : size + job.append.count;
  return { entryBytes: await append(size, until) };
}

async function append(from: number, until: number): Promise<number> {
  let next = from;
  let bytes = 0;
  const lane = async (): Promise<void> => {
    while (next < until) {
      const body = makeBody(next++);
      bytes += body.length;
      const { inclusionProof } = await appendBody(body);
      if (inclusionProof.length === 0 && until > 1) throw new Error("an answer without proof");
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, until - from) }, lane));
  return bytes;
}

/** An entry that was not promised in time is asked for again, as a client would: the log answers with the index it may have by now. */
async function appendBody(body: Uint8Array): Promise<AnswerOf<typeof appendEntry>> {
  for (;;) {
    try {
      return await ask(appendEntry, { log: filledLog, entry: { kind: "body", body } });
    } catch (thrown) {
      if (!Failure.from(thrown).retry) throw thrown;
    }
  }
}

async function prove(count: number, size: number) {
  const { head } = await ask(latestHead, { log: filledLog });
  const times: number[] = [];
  for (let n = 0; n < count; n++) {
    const index = BigInt(Math.floor(Math.random() * size));
    const startedAt = performance.now();
    const { root, proof } = await ask(proveInclusion, { log: filledLog, index, size: head.size });
    times.push(performance.now() - startedAt);
    if (proof.length === 0 || !Buffer.from(root).equals(head.root)) throw new Error("no proof");
  }
  const sorted = times.toSorted((a, b) => a - b);
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
}

async function logSize(): Promise<number> {
  return Number((await ask(latestHead, { log: filledLog })).head.size);
}

/** The trail follows facts; reading millions of entries that nobody signed would keep the next start busy with nothing that is measured. */
async function end(): Promise<void> {
  const { installation, storage, partitions } = house;
  await installation[Symbol.asyncDispose]();
  await using facts = await storage.openReader(`log-${filledLog}`);
  let last = 0n;
  for (;;) {
    const records = await facts.read(factStream, last, 10_000);
    const newest = records.at(-1);
    if (newest === undefined) break;
    last = newest.sequence;
  }
  const audit = partitions.find(({ name }) => name.startsWith("audit"));
  if (audit === undefined) throw new Error("this home keeps no audit trail");
  await using trail = await storage.open(audit.name, audit.shape);
  const key = encodeUtf8(`log/${filledLog}`);
  await trail.commit({ writes: [{ table: cursorTable, key, value: uintBytes(last, 8) }] });
  await storage[Symbol.asyncDispose]();
}
