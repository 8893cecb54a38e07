/** The faults, by the names of reliability.md §4.4. Each is done to a running instance under traffic, and undone. */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { damageAtRest, restoreOldBackup } from "./at-rest.ts";
import type { FaultKind } from "./fault-kind.ts";
import type { ChildName, Ground } from "./ground.ts";
import type { Random } from "./random.ts";
import { injectCalls } from "./system-calls.ts";
import { tokenFaults } from "./token-faults.ts";

const children = ["vault", "services", "nats"] as const;
const rooms = ["vault", "services"] as const;
/** Every kind. */
export const catalogue: readonly FaultKind[] = [
  {
    id: "P1",
    what: "kill -9 of a process, at any instant",
    weight: 6,
    inject: async (ground, random) => await kills(ground, random, random.whole(3, 7)),
  },
  {
    id: "P1s",
    what: "kill -9 at the nth fdatasync, write or rename",
    weight: 4,
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
    async inject(ground, random) {
      let count = await kills(ground, random, 1);
      for (let again = 0; again < 2; again++) {
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
    inject: async (ground, random) => one(ground.signal(random.pick(rooms), "SIGTERM")),
  },
  {
    id: "P4",
    what: "SIGSTOP for a while, then SIGCONT",
    weight: 3,
    async inject(ground, random) {
      const name = random.pick(children);
      const stopped = ground.pid(name);
      if (stopped === null) return 0;
      process.kill(stopped, "SIGSTOP");
      await sleep(random.whole(100, 4_000));
      // What the supervisor has killed meanwhile is not ours any more.
      if (ground.pid(name) === stopped) process.kill(stopped, "SIGCONT");
      return 1;
    },
  },
  {
    id: "P4x",
    what: "SIGSTOP for 60 s (the supervisor replaces what is silent for 15 s)",
    weight: 0.1,
    async inject(ground, random) {
      const name = random.pick(children);
      const stopped = ground.pid(name);
      if (stopped === null) return 0;
      process.kill(stopped, "SIGSTOP");
      await sleep(60_000);
      if (ground.pid(name) === stopped) process.kill(stopped, "SIGCONT");
      return 1;
    },
  },
  {
    id: "D1",
    what: "power cut of the whole machine",
    weight: 4,
    async inject(ground, random) {
      await sleep(random.whole(0, 500));
      await ground.powerCut();
      await ground.start();
      return 1;
    },
  },
  {
    id: "D2",
    what: "EIO from fsync or fdatasync",
    weight: 3,
    async inject(ground, random) {
      const when = String(random.whole(1, 20));
      const fault = { calls: "fdatasync,fsync", fault: "error=EIO", when, ms: 1_200 };
      return await atCalls(ground, random, fault);
    },
  },
  {
    id: "D3",
    what: "EIO, EROFS or EDQUOT from a write to a file",
    weight: 2,
    async inject(ground, random) {
      const error = random.pick(["EIO", "EROFS", "EDQUOT"]);
      const when = String(random.whole(1, 40));
      const fault = { calls: "pwrite64", fault: `error=${error}`, when, ms: 1_200 };
      return await atCalls(ground, random, fault);
    },
  },
  {
    id: "D4",
    what: "the disk is full",
    weight: 2,
    async inject(ground, random) {
      const ballast = join(ground.place.home, "..", "ballast");
      fill(ballast);
      await sleep(random.whole(300, 2_000));
      rmSync(ballast);
      return 1;
    },
  },
  {
    id: "D5",
    what: "fsync takes 20 to 300 ms longer",
    weight: 3,
    async inject(ground, random) {
      const microseconds = 1_000 * random.whole(20, 300);
      const fault = {
        calls: "fdatasync,fsync",
        fault: `delay_enter=${microseconds}`,
        when: "1+",
        ms: 1_500,
      };
      return await atCalls(ground, random, fault);
    },
  },
  {
    id: "D7",
    what: "a bit flips or a file is cut short or gone, at rest",
    weight: 2,
    inject: damageAtRest,
  },
  {
    id: "R1",
    what: "data/ is restored from an old backup",
    weight: 1,
    inject: restoreOldBackup,
  },
  {
    id: "C1",
    what: "the clock jumps back 1 s to 56 years, and forward again",
    weight: 2,
    async inject(ground, random) {
      const back = random.pick([1, 2, 60, 3_600, 86_400, Math.floor(Date.now() / 1_000)]);
      ground.setClock(-back);
      await sleep(random.whole(1_200, 3_000));
      ground.setClock(0);
      // libfaketime reads the file once a second.
      await sleep(1_100);
      return 2;
    },
  },
  {
    id: "N1",
    what: "every bus connection is reset",
    weight: 2,
    async inject(ground, random) {
      const count = random.whole(1, 4);
      for (let cut = 0; cut < count; cut++) {
        ground.proxy.cut();
        await sleep(random.whole(50, 800));
      }
      return count;
    },
  },
  {
    id: "N2",
    what: "the bus is slow, stalls, or is half open",
    weight: 3,
    async inject(ground, random) {
      ground.proxy.set(
        random.pick([
          { kind: "delay", ms: random.whole(20, 500) },
          { kind: "stall" },
          { kind: "halfOpen" },
        ]),
      );
      await sleep(random.whole(300, 2_500));
      ground.proxy.set({ kind: "pass" });
      return 1;
    },
  },
  {
    id: "N4",
    what: "the bus loses, repeats or reorders a message",
    weight: 4,
    async inject(ground, random) {
      const before = ground.proxy.hits;
      const kind = random.pick(["lose", "repeat", "repeat", "reorder"] as const);
      ground.proxy.set({ kind, oneOf: kind === "lose" ? 40 : random.whole(3, 9) });
      await sleep(random.whole(800, 2_000));
      ground.proxy.set({ kind: "pass" });
      return ground.proxy.hits - before;
    },
  },
  ...tokenFaults,
];

function one(done: boolean): number {
  return done ? 1 : 0;
}

async function kills(ground: Ground, random: Random, count: number): Promise<number> {
  let killed = 0;
  for (let kill = 0; kill < count; kill++) {
    await sleep(random.whole(20, 400));
    killed += one(ground.signal(random.pick(children), "SIGKILL"));
  }
  return killed;
}

async function atCalls(
  ground: Ground,
  random: Random,
  fault: { calls: string; fault: string; when: string; ms: number },
): Promise<number> {
  const name: ChildName = random.pick(rooms);
  const pid = ground.pid(name);
  if (pid === null) return 0;
  return await injectCalls({ ...fault, pid, folder: ground.folder });
}

/** Takes every block that is free, but for what root keeps back for itself, and that too. */
function fill(path: string): void {
  try {
    execFileSync("dd", ["if=/dev/zero", `of=${path}`, "bs=1M", "conv=fsync"], { stdio: "ignore" });
  } catch {
    // It ends because the disk is full, as it should.
  }
}
