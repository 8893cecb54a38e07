/** Faults of processes: P1 to P8 of reliability.md §4.4. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { FaultKind } from "./fault-kind.ts";
import type { Ground } from "./ground.ts";
import type { Random } from "./random.ts";
import { atCalls } from "./system-calls.ts";

const children = ["vault", "services", "nats"] as const;
const rooms = ["vault", "services"] as const;
/** Longer than the supervisor bears silence. */
const longPauseMs = 60_000;

/** Kinds P1 to P8. */
export const processFaults: readonly FaultKind[] = [
  {
    id: "P1",
    what: "kill -9 of a process, at any instant",
    weight: 6,
    instrument: "signals",
    inject: async (ground, random) => await kills(ground, random, random.whole(4, 9)),
  },
  {
    id: "P1s",
    what: "kill -9 at the nth fdatasync, write or rename",
    weight: 4,
    instrument: "calls",
    async inject(ground, random) {
      const calls = random.pick(["fdatasync,fsync", "pwrite64", "sendto,write"]);
      const fault = { calls, fault: "signal=KILL", when: String(random.whole(1, 30)), ms: 2_500 };
      return await atCalls(ground, random, fault);
    },
  },
  {
    id: "P2",
    what: "kill -9, and again while it recovers",
    weight: 3,
    instrument: "signals",
    async inject(ground, random) {
      let count = await kills(ground, random, 1);
      for (let again = 0; again < 3; again++) {
        await sleep(random.whole(200, 1_200));
        count += await kills(ground, random, 1);
      }
      return count;
    },
  },
  {
    id: "P3",
    what: "SIGTERM of a process",
    weight: 2,
    instrument: "signals",
    inject: async (ground, random) => (ground.signal(random.pick(rooms), "SIGTERM") ? 1 : 0),
  },
  {
    id: "P4",
    what: "SIGSTOP for a while, then SIGCONT",
    weight: 3,
    instrument: "signals",
    async inject(ground, random) {
      let count = 0;
      for (let pause = random.whole(2, 5); pause > 0; pause--) {
        count += await paused(ground, random, random.whole(100, 2_500));
        await sleep(random.whole(10, 300));
      }
      return count;
    },
  },
  {
    id: "P4x",
    what: "SIGSTOP for 60 s (the supervisor replaces what is silent for 15 s)",
    weight: 0.1,
    inject: async (ground, random) => await paused(ground, random, longPauseMs),
  },
  {
    id: "P5",
    what: "the event loop of a room stands still for up to 10 s",
    weight: 2,
    instrument: "inside",
    inject: async (ground, random) =>
      await inside(ground, random, `block ${random.pick([500, 2_000, 4_000, 10_000])}`),
  },
  {
    id: "P6",
    what: "a room's heap grows to its limit",
    weight: 1,
    instrument: "inside",
    inject: async (ground, random) => await inside(ground, random, "heap"),
  },
  {
    id: "P7",
    what: "a room has no file descriptor left",
    weight: 1,
    instrument: "inside",
    inject: withoutDescriptors,
  },
  {
    id: "P8",
    what: "an exception or a rejection that nobody handles, or the stack overflows",
    weight: 2,
    instrument: "inside",
    inject: async (ground, random) =>
      await inside(ground, random, random.pick(["throw", "reject", "overflow"])),
  },
];

async function kills(ground: Ground, random: Random, count: number): Promise<number> {
  let killed = 0;
  for (let kill = 0; kill < count; kill++) {
    await sleep(random.whole(20, 400));
    killed += ground.signal(random.pick(children), "SIGKILL") ? 1 : 0;
  }
  return killed;
}

async function paused(ground: Ground, random: Random, ms: number): Promise<number> {
  const name = random.pick(children);
  const stopped = ground.pid(name);
  if (stopped === null || !ground.signal(name, "SIGSTOP")) return 0;
  await sleep(ms);
  // What the supervisor has killed meanwhile is not ours any more.
  if (ground.pid(name) === stopped) ground.signal(name, "SIGCONT");
  return 1;
}

/** Has a room do something to itself, and waits until it has begun to. */
async function inside(ground: Ground, random: Random, command: string): Promise<number> {
  const pid = ground.pid(random.pick(rooms));
  return pid !== null && (await ground.tell(pid, command)) ? 1 : 0;
}

async function withoutDescriptors(ground: Ground, random: Random): Promise<number> {
  const pid = ground.pid(random.pick(rooms));
  if (pid === null) return 0;
  const before = limitOf(pid);
  if (before === null || !limit(pid, String(countOpen(pid)))) return 0;
  await sleep(random.whole(500, 2_500));
  limit(pid, before);
  return 1;
}

function limitOf(pid: number): string | null {
  try {
    const line = /^Max open files +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8"));
    return line?.[1] ?? null;
  } catch {
    return null;
  }
}

function countOpen(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

/** Sets the soft limit; false if the process has ended meanwhile. */
function limit(pid: number, soft: string): boolean {
  try {
    execFileSync("prlimit", ["--pid", String(pid), `--nofile=${soft}:`], { stdio: "ignore" });
    return true;
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") throw thrown;
    return false;
  }
}
