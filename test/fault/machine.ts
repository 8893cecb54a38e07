/** The fault machine: traffic, faults by a seed, recovery within 30 s (L8, L9), and a check of everything after each group. */
import { setTimeout as sleep } from "node:timers/promises";
import { catalogue } from "./catalogue.ts";
import { Checker, type Verdict } from "./checker.ts";
import { type FaultKind, fallsOn, type StorageKind } from "./fault-kind.ts";
import { Ground } from "./ground.ts";
import { patience } from "./patience.ts";
import { prepareHome, type PreparedHome } from "./prepared-home.ts";
import { type Random, seeded } from "./random.ts";
import { logSignatureV2, timestamp } from "./requests.ts";
import { certify, demoToken, logSignature } from "../support/signer.ts";

/** What to run. */
export interface MachineRun {
  readonly seed: number;
  /** Ids of the catalogue; absent for all. */
  readonly kinds?: readonly string[];
  /** Ends after the group in which this many faults are reached, or this much time has passed. */
  readonly maxFaults?: number;
  readonly maxMs: number;
  /** How long every kind of request may take to succeed again (L9); 30 s if absent. */
  readonly recoverWithinMs?: number;
  /** How long what is wrong may still come right, because a request is under way; 15 s if absent. */
  readonly settleWithinMs?: number;
  /** Ends after the group in which it aborts. */
  readonly stop?: AbortSignal;
  /** Every kind once, instead of going on by lot. */
  readonly eachOnce?: boolean;
  /** What every life begins from; absent to have it made. */
  readonly home?: PreparedHome;
  /** The checkout that is tested; absent for this one. */
  readonly root?: string;
  readonly say: (line: string) => void;
}

/** Faults of a kind. */
export interface Tally {
  readonly groups: number;
  readonly faults: number;
}

/** How a run ended. */
export interface MachineReport {
  readonly seed: number;
  readonly byKind: ReadonlyMap<string, Tally>;
  readonly faults: number;
  /** Instances that it was done to, one after the other. */
  readonly lives: number;
  readonly verdict: Verdict;
  /** Requests that were answered with a failure; nothing was promised by them. */
  readonly failed: number;
  readonly minutes: number;
  /** Why it ended before its time, or null. */
  readonly broken: string | null;
}

const lanes = 3;
const recoveredWithinMs = 30_000;
const settledWithinMs = 15_000;
/** After so many answers the next group falls on a new instance. */
const longLife = { sqlite: 8_000, postgresql: 2_000 } as const;
const attempts = 3;
const nothing: Verdict = { acknowledged: 0, lost: 0, forks: 0, unexplained: 0, violations: [] };

/** Runs until the time is over or something is wrong. */
export async function runMachine(run: MachineRun): Promise<MachineReport> {
  const kinds = catalogue.filter(({ id }) => run.kinds?.includes(id) ?? true);
  if (kinds.length === 0) throw new Error("no fault of the catalogue is chosen");
  const random = seeded(run.seed);
  await using stack = new AsyncDisposableStack();
  const home = run.home ?? stack.use(await prepareHome());
  const course: Course = {
    home,
    kinds,
    untried: [...kinds],
    random,
    byKind: new Map(),
    group: 0,
    faults: 0,
    run,
  };
  const startedAt = performance.now();
  const isOver = (): boolean =>
    run.stop?.aborted === true ||
    (run.eachOnce === true
      ? course.untried.length === 0 || performance.now() - startedAt > run.maxMs
      : performance.now() - startedAt > run.maxMs || course.faults >= (run.maxFaults ?? Infinity));
  let acknowledged = 0;
  let failed = 0;
  for (let lives = 1; ; lives++) {
    const { verdict, broken, ...life } = await live(course, isOver);
    acknowledged += verdict.acknowledged;
    failed += life.failed;
    if (broken === null && !isOver()) continue;
    const minutes = (performance.now() - startedAt) / 60_000;
    const { byKind, faults } = course;
    const all = { ...verdict, acknowledged };
    return { seed: run.seed, byKind, faults, lives, verdict: all, failed, minutes, broken };
  }
}

/** What cannot be made, on a machine that is busy, is made again: nothing has fallen on it yet. */
async function made({ home, run }: Course, kept: StorageKind): Promise<Ground> {
  for (let left = attempts; ; left--) {
    try {
      return await Ground.make(home, run.root, kept);
    } catch (thrown) {
      if (left === 1) throw thrown;
      run.say(`it did not start, and is made again: ${String(thrown)}`);
    }
  }
}

/** How far a run is, whatever instance it is at. */
interface Course {
  readonly home: PreparedHome;
  readonly kinds: readonly FaultKind[];
  readonly random: Random;
  /** Kinds whose turn has not come. */
  readonly untried: FaultKind[];
  readonly byKind: Map<string, Tally>;
  readonly run: MachineRun;
  group: number;
  faults: number;
}

/** One instance, until the run is over, something is wrong, or it has grown so much that each check of all it holds takes long. */
async function live(
  course: Course,
  isOver: () => boolean,
): Promise<{ readonly verdict: Verdict; readonly failed: number; readonly broken: string | null }> {
  const { run } = course;
  const kept = nextStorage(course);
  await using ground = await made(course, kept);
  const checker = new Checker(ground);
  let verdict = nothing;
  let broken: string | null = null;
  const mayGoOn = (): boolean =>
    course.untried.length > 0
      ? course.untried.some((kind) => fallsOn(kind, kept))
      : verdict.acknowledged < longLife[kept];
  while (broken === null && !isOver() && mayGoOn()) {
    const chosen = chooseGroup(course, kept);
    const timing = new Timing();
    try {
      course.faults += await oneGroup({ ground, checker, timing, course }, chosen);
      verdict = await checkQuietly(ground, checker, run.settleWithinMs ?? settledWithinMs);
      timing.lap("check");
      if (!isSound(verdict)) broken = verdict.violations.join("; ");
    } catch (thrown) {
      broken = thrown instanceof Error ? thrown.message : String(thrown);
      verdict = await lastLook(ground, checker, verdict);
    }
    if (broken !== null) for (const line of ground.complaints()) run.say(line);
    const ids = chosen.map(({ id }) => id).join("+");
    run.say(
      `${String(course.group).padStart(4)} ${ids.padEnd(16)} ${timing.text()}; ${course.faults} faults, ${verdict.acknowledged} acknowledged` +
        (broken === null ? "" : `: ${broken}`),
    );
    course.group++;
  }
  return { verdict, failed: ground.failed, broken };
}

/** Where the time of a group goes. */
class Timing {
  #at = performance.now();
  readonly #laps: string[] = [];

  lap(what: string): void {
    const now = performance.now();
    this.#laps.push(`${what} ${((now - this.#at) / 1_000).toFixed(1)}`);
    this.#at = now;
  }

  text(): string {
    return this.#laps.join(", ");
  }
}

/** What the next kind falls on. */
function nextStorage({ kinds, untried, random }: Course): StorageKind {
  const next = untried[0] ?? choose(kinds, random);
  return fallsOn(next, "sqlite") ? "sqlite" : "postgresql";
}

/** First every kind once, then by lot; what may fall together does (§4.6). */
function chooseGroup(
  { kinds: all, untried, random, run }: Course,
  kept: StorageKind,
): readonly FaultKind[] {
  const kinds = all.filter((kind) => fallsOn(kind, kept));
  const own = untried.findIndex((kind) => fallsOn(kind, kept));
  const first = untried.splice(own, own < 0 ? 0 : 1)[0] ?? choose(kinds, random);
  const chosen = [first];
  const isFree = (kind: FaultKind): boolean =>
    fallsOn(kind, kept) &&
    kind.instrument !== undefined &&
    !chosen.some(({ instrument }) => instrument === kind.instrument);
  const size = first.instrument === undefined ? 1 : random.pick([2, 3, 3, 4]);
  for (let tries = 0; chosen.length < size && tries < 20; tries++) {
    const at = untried.findIndex(isFree);
    const next = untried.splice(at, at < 0 ? 0 : 1)[0] ?? choose(kinds, random);
    // What is run once only is not chosen again to keep others company.
    if (at < 0 && run.eachOnce === true) break;
    if (isFree(next)) chosen.push(next);
  }
  return chosen;
}

/** True if nothing is wrong. */
export function isSound({ lost, forks, unexplained, violations }: Verdict): boolean {
  return lost === 0 && forks === 0 && unexplained === 0 && violations.length === 0;
}

/** What a group works with. */
interface Stage {
  readonly ground: Ground;
  readonly checker: Checker;
  readonly timing: Timing;
  readonly course: Course;
}

/** Answers how many faults there were. */
async function oneGroup(
  { ground, checker, timing, course }: Stage,
  kinds: readonly FaultKind[],
): Promise<number> {
  const { byKind, random } = course;
  const ids = kinds.map(({ id }) => id).join("+");
  await ground.clients(lanes);
  // A fault that falls on nobody shows nothing.
  if (!(await ground.answered(3, patience(recoveredWithinMs)))) {
    throw new Error(`L9: nothing was answered for 30 s before ${ids}`);
  }
  timing.lap("traffic");
  const falling = kinds.map(async (kind) => {
    // Of its own, because those that fall together take turns as they come.
    const own = seeded(random.whole(0, 2 ** 32));
    const count = await kind.inject(ground, own, () => checker.check());
    const { groups, faults } = byKind.get(kind.id) ?? { groups: 0, faults: 0 };
    byKind.set(kind.id, { groups: groups + 1, faults: faults + count });
    return count;
  });
  const ended = await Promise.allSettled(falling);
  const failed = ended.find((it) => it.status === "rejected");
  if (failed) throw failed.reason;
  timing.lap("faults");
  await recovered(ground, ids, patience(course.run.recoverWithinMs ?? recoveredWithinMs));
  timing.lap("recovery");
  return ended.reduce((sum, it) => sum + (it.status === "fulfilled" ? it.value : 0), 0);
}

/** L8 and L9: without anybody's help, every kind of request succeeds again. */
async function recovered(ground: Ground, id: string, withinMs: number): Promise<void> {
  const giveUpAt = performance.now() + withinMs;
  let last: unknown = null;
  do {
    if (ground.hasEnded)
      throw new Error(`L8: the instance has given up after ${id}: ${ground.said}`);
    try {
      // A request that hangs takes longer than there is time.
      const late = sleep(Math.max(0, giveUpAt - performance.now()), null, { ref: false });
      await Promise.race([
        askEverything(ground),
        late.then(() => Promise.reject(new Error("it hangs"))),
      ]);
      return;
    } catch (thrown) {
      last = thrown;
      await sleep(50);
    }
  } while (performance.now() < giveUpAt);
  throw new Error(
    `L9: not every request succeeds ${withinMs / 1_000} s after ${id}: ${String(last)}`,
  );
}

/** One request of every kind. Rejects unless all are answered well. */
async function askEverything(ground: Ground): Promise<void> {
  const target = { origin: ground.origin, home: ground.place.home };
  const email = "probe@example.com";
  const token = await demoToken(target, email);
  const certified = await certify(target, token, email);
  const entry = await logSignature(target, certified);
  await logSignatureV2(ground.origin, certified);
  await timestamp(ground.origin);
  await expectAnswers(ground.origin, entry.entryId);
}

async function expectAnswers(origin: string, entryId: string): Promise<void> {
  const paths = [
    "/readyz",
    `/api/v1/log/entries/${entryId}`,
    "/api/v1/log",
    "/logs/ct/ct/v1/get-sth",
    "/api/v2/trustBundle",
    "/tuf/timestamp.json",
  ];
  for (const path of paths) {
    const response = await fetch(`${origin}${path}`, { signal: AbortSignal.timeout(10_000) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text}`);
  }
}

/** Lets the clients finish what they have begun, and looks at what is there. */
async function checkQuietly(ground: Ground, checker: Checker, withinMs: number): Promise<Verdict> {
  await ground.clients(0);
  // A request that its client has given up may still be under way: its intent is open as long.
  for (const giveUpAt = performance.now() + withinMs; ;) {
    const verdict = checker.check();
    if (isSound(verdict) || performance.now() > giveUpAt) return verdict;
    await sleep(250);
  }
}

/** After a failure: what the disk says all the same. */
async function lastLook(ground: Ground, checker: Checker, before: Verdict): Promise<Verdict> {
  await ground.killAll();
  await sleep(200);
  try {
    return checker.check();
  } catch {
    return before;
  }
}

function choose(kinds: readonly FaultKind[], random: Random): FaultKind {
  let left = random.next() * kinds.reduce((sum, { weight }) => sum + weight, 0);
  return kinds.find(({ weight }) => (left -= weight) < 0) ?? random.pick(kinds);
}
