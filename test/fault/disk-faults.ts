/** Faults of the disk and of what lies on it: D1 to D8 and D11 of reliability.md §4.4, and old backups (§4.8). */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { damageAtRest, restoreOldBackup, restoreOldVault } from "./at-rest.ts";
import type { FaultKind } from "./fault-kind.ts";
import type { Random } from "./random.ts";
import { expectRefusal } from "./refusals.ts";
import { atCalls } from "./system-calls.ts";

const logs = ["data/log-ct.db", "data/log-rekor.db", "data/log-rekor-v2.db"] as const;
const files = [...logs, "data/issuer.db", "data/trust.db", "vault/vault.db"] as const;

/** Kinds D1 to D11, R1 and R2. */
export const diskFaults: readonly FaultKind[] = [
  {
    id: "D1",
    what: "power cut of the whole machine",
    weight: 3,
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
    instrument: "calls",
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
    instrument: "calls",
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
    instrument: "disk",
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
    instrument: "calls",
    async inject(ground, random) {
      const microseconds = 1_000 * random.whole(20, 300);
      const calls = { calls: "fdatasync,fsync", fault: `delay_enter=${microseconds}` };
      return await atCalls(ground, random, { ...calls, when: "1+", ms: 1_500 });
    },
  },
  {
    id: "D6",
    what: "a write that was torn: half a frame behind each write-ahead log, drafts left behind",
    weight: 0.5,
    async inject(ground, random) {
      await ground.killAll();
      const { home } = ground.place;
      const count = leaveTorn(home, random);
      await ground.start();
      return count;
    },
  },
  {
    id: "D7",
    what: "a bit flips or a file is cut short or gone, at rest",
    weight: 1,
    inject: damageAtRest,
  },
  {
    id: "D8",
    what: "a file, or all of data/, is gone at the start",
    weight: 0.3,
    async inject(ground, random) {
      await ground.clients(0);
      await ground.stop();
      const gone = join(ground.place.home, random.pick([...files, "data"]));
      const aside = `${gone}.aside`;
      renameSync(gone, aside);
      await expectRefusal(ground, /missing|does not exist|no such file|is not there/i);
      if (existsSync(gone)) rmSync(gone, { recursive: true });
      renameSync(aside, gone);
      await ground.start();
      return 1;
    },
  },
  {
    id: "D11",
    what: "somebody else holds the lock of a database, for longer than one waits",
    weight: 1,
    instrument: "disk",
    async inject(ground, random) {
      const path = join(ground.place.home, random.pick(files));
      using other = new DatabaseSync(path, { timeout: 2_000 });
      try {
        other.exec(random.pick(["BEGIN IMMEDIATE", "BEGIN; SELECT count(*) FROM sqlite_master"]));
      } catch {
        // The owner held it all the time: nothing was done to it.
        return 0;
      }
      await sleep(random.whole(500, 7_000));
      other.exec("ROLLBACK");
      return 1;
    },
  },
  {
    id: "D11s",
    what: "a database of a later layout, or with a stray journal beside it",
    weight: 0.2,
    async inject(ground, random) {
      await ground.clients(0);
      await ground.stop();
      const { home } = ground.place;
      writeFileSync(join(home, `${random.pick(files)}-journal`), randomBytes(1_024));
      const path = join(home, random.pick(logs));
      const version = setLayout(path, 99);
      await expectRefusal(ground, /has layout 99/);
      setLayout(path, version);
      await ground.start();
      return 2;
    },
  },
  {
    id: "R1",
    what: "data/, or one log of it, is restored from an old backup",
    weight: 0.3,
    inject: restoreOldBackup,
  },
  {
    id: "R2",
    what: "the vault's state is restored from an old backup",
    weight: 0.3,
    inject: restoreOldVault,
  },
];

/** Takes every block that is free, but for what root keeps back for itself, and that too. */
function fill(path: string): void {
  try {
    execFileSync("dd", ["if=/dev/zero", `of=${path}`, "bs=1M", "conv=fsync"], { stdio: "ignore" });
  } catch {
    // It ends because the disk is full, as it should.
  }
}

/** What a write leaves that a crash cut short, beside every database. Answers how many. */
function leaveTorn(home: string, random: Random): number {
  let count = 0;
  for (const file of files) {
    const wal = join(home, `${file}-wal`);
    if (existsSync(wal)) {
      appendFileSync(wal, randomBytes(random.whole(1, 4_096 + 24)));
      count++;
    }
    if (file.startsWith("data/") && random.whole(0, 2) === 0) {
      writeFileSync(join(home, `${file}.new`), randomBytes(random.whole(0, 4_096)));
      count++;
    }
  }
  return count;
}

/** Sets a partition's layout version; answers what it was. */
function setLayout(path: string, version: number): number {
  using database = new DatabaseSync(path);
  const before = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
  database.exec(`PRAGMA user_version=${version}`);
  return before;
}
