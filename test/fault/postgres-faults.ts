/** Faults of PostgreSQL, and of two service processes that take turns on it: G1, G3, G5, G8 and X1 to X4 of reliability.md §4.4. */
import { setTimeout as sleep } from "node:timers/promises";
import type { FaultKind } from "./fault-kind.ts";
import type { Ground } from "./ground.ts";
import { patience } from "./patience.ts";
import type { Random } from "./random.ts";
import { signal } from "./signal.ts";

/** Beyond what a holder may be silent, and below what its supervisor bears. */
const longestPauseMs = 13_000;
const takenWithinMs = 8_000;
const answeredWithinMs = 30_000;
const commitWithinMs = 2_000;

/** Kinds that need an instance on PostgreSQL. */
export const postgresFaults: readonly FaultKind[] = [
  {
    id: "G1",
    what: "connections to PostgreSQL are cut: all, or one before, in, or after its commit",
    weight: 4,
    storage: "postgresql",
    instrument: "database",
    inject: cuts,
  },
  {
    id: "G3",
    what: "PostgreSQL is killed and comes back: the primary, or the standby that commits wait for",
    weight: 2,
    storage: "postgresql",
    instrument: "database",
    async inject({ postgres }, random) {
      const afterMs = random.whole(100, 3_000);
      if (random.next() < 0.7) await postgres.restart(afterMs);
      else await postgres.restartStandby(afterMs);
      return 1;
    },
  },
  {
    id: "G5",
    what: "the primary dies, perhaps in the middle of a commit; its standby is promoted; the old primary comes back",
    weight: 1,
    storage: "postgresql",
    instrument: "database",
    inject: failOver,
  },
  {
    id: "G8",
    what: "PostgreSQL refuses to write for a while",
    weight: 1,
    storage: "postgresql",
    instrument: "database",
    async inject({ postgres }, random) {
      postgres.sql("ALTER SYSTEM SET default_transaction_read_only = on");
      postgres.sql("SELECT pg_reload_conf()");
      await sleep(random.whole(200, 2_500));
      postgres.sql("ALTER SYSTEM RESET default_transaction_read_only");
      postgres.sql("SELECT pg_reload_conf()");
      return 1;
    },
  },
  {
    id: "X1p",
    what: "two sequencers: somebody else opens a log's partition beside the one whose turn it is",
    weight: 2,
    storage: "postgresql",
    instrument: "database",
    async inject({ postgres }, random) {
      const log = random.pick(["log-ct", "log-rekor", "log-rekor-v2"]);
      postgres.sql(
        `UPDATE chancery.partitions SET generation = generation + 1 WHERE name = '${log}'`,
      );
      await Promise.resolve();
      return 1;
    },
  },
  {
    id: "X3p",
    what: "the process whose turn it is is paused, another takes over, and it goes on",
    weight: 1,
    storage: "postgresql",
    instrument: "signals",
    inject: pausedLeader,
  },
];

async function cuts({ postgres }: Ground, random: Random): Promise<number> {
  const { proxy } = postgres;
  const before = proxy.hits;
  for (let left = random.whole(2, 5); left > 0; left--) {
    const at = random.pick(["all", "before", "told", "answered", "answered"] as const);
    const hits = proxy.hits;
    if (at === "all") proxy.cut();
    else proxy.cutNext(at);
    // Somebody commits: the clients go on signing.
    for (const until = performance.now() + commitWithinMs; proxy.hits === hits; await sleep(5)) {
      if (performance.now() > until) break;
    }
    proxy.cutNext(null);
    await sleep(random.whole(20, 600));
  }
  return proxy.hits - before;
}

async function failOver(ground: Ground, random: Random): Promise<number> {
  const { postgres } = ground;
  // Double: the answer to a commit is lost, and the server that knows of it dies.
  if (random.next() < 0.5) postgres.proxy.cutNext("told");
  await sleep(random.whole(0, 300));
  postgres.proxy.cutNext(null);
  await postgres.failOver();
  if (!(await ground.answered(3, patience(answeredWithinMs)))) {
    throw new Error("L9: nothing was answered for 30 s after the standby was promoted");
  }
  await postgres.oldPrimaryBack(async () => {
    const { code, stderr } = await postgres.chancery("fsck");
    if (code === 3 && stderr.includes("both accept writes")) return;
    throw new Error(`L8: two primaries were not noticed: ${code} ${stderr}`);
  });
  return 2;
}

/** Whose turn it is, is seen from the lease: it changes hands if that one is paused. */
async function pausedLeader(ground: Ground): Promise<number> {
  const { postgres } = ground;
  const term = (): string | null => {
    try {
      return postgres.sql("SELECT term FROM chancery.leases");
    } catch {
      // The server is away: another fault's doing.
      return null;
    }
  };
  const pids = [() => ground.pid("services"), () => postgres.pid()];
  for (let tries = 0; tries < 8; tries++) {
    const pid = pids[tries % pids.length]?.() ?? null;
    const before = term();
    if (pid === null || before === null || !signal(pid, "SIGSTOP")) {
      await sleep(300);
      continue;
    }
    const until = performance.now() + Math.min(longestPauseMs, patience(takenWithinMs));
    let isTaken = false;
    while (!isTaken && performance.now() < until) {
      await sleep(100);
      const now = term();
      isTaken = now !== null && now !== before;
    }
    // The other must have opened the partitions, and written, before this one goes on.
    if (isTaken) await sleep(500);
    signal(pid, "SIGCONT");
    if (isTaken) return 1;
  }
  throw new Error("L8: nobody took over from a process that was paused");
}
