/** Damage to files while nothing runs: reliability.md §4.7 and §4.8. The files themselves are damaged in a copy of the home. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Ground } from "./ground.ts";
import { patience } from "./patience.ts";
import type { Random } from "./random.ts";
import { entriesOf, type LedgerRow, readVault, readVaultFile } from "./raw.ts";
import { expectRefusal } from "./refusals.ts";
import { run as runFsck } from "../../config/fsck-command.ts";

/** The files that have a detector of their own: every row of the logs, and ledger, heads and roles of the vault. */
const guarded = [
  "data/log-ct.db",
  "data/log-rekor.db",
  "data/log-rekor-v2.db",
  "vault/vault.db",
] as const;

/**
 * What `fsck` guards. Not among it, because nothing else is derived from them that it could compare: the bodies of facts, the chains
 * stored beside CT entries (RFC 6962 leaves extra_data out of the tree), and of the vault's rows the hashes of TUF roles, the times of
 * tree heads, and what is known of certificates.
 */
const guardedRows: { readonly [table: string]: string } = {
  table_entries: '"key", guardedEntries("value") FROM "table_entries"',
  stream_facts: '"sequence" FROM "stream_facts"',
  ledger: "* FROM ledger",
  heads: "key, size, root FROM heads",
  roles: "key, type, version FROM roles",
  meta: "1",
  unfinished: "1",
  stamps: "1",
  certificates: "1",
};

/** Flips, cuts and deletes in copies, and holds each against `fsck`; then the instance goes on. Answers how many. */
export async function damageAtRest(ground: Ground, random: Random): Promise<number> {
  await ground.clients(0);
  await ground.stop();
  const scratch = await ground.scratch("at-rest");
  let count = 0;
  try {
    for (; count < 8; count++) {
      const file = random.pick(guarded);
      rmSync(scratch, { recursive: true, force: true });
      cpSync(ground.place.home, scratch, {
        recursive: true,
        filter: (path) => !/\/(journal|tokens|run|nats|trust|ceremony|lost\+found)$/.test(path),
      });
      const what = damage(join(scratch, file), random);
      await expectNoticed(ground.place.home, scratch, { file, what });
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  await ground.start();
  return count;
}

/** The stores go back while vault and token stay: the instance must refuse to start until the right ones are there again. */
export async function restoreOldBackup(ground: Ground, random: Random): Promise<number> {
  const parts = ["data", "data/log-ct.db", "data/log-rekor.db", "data/log-rekor-v2.db"];
  return await restoreOld(ground, random, {
    part: random.pick(parts),
    why: /older than the vault/,
  });
}

/** The vault goes back while the stores stay: its guard would sign a fork, and the logs must not ask it to. */
export async function restoreOldVault(ground: Ground, random: Random): Promise<number> {
  const why = /the vault's state is older than the log/;
  const tally = join(ground.folder, "tally");
  const { home } = ground.place;
  let counted = "";
  return await restoreOld(ground, random, {
    part: "vault/vault.db",
    why,
    before: () => (counted = readFileSync(tally, "utf8")),
    after() {
      const trees = readVault(home).rows.slice(lengthOfOld(ground)).filter(isTree);
      if (trees.length > 0) throw new Error("L1: a vault that forgot its trees has signed one");
      // The rows of its self-test go with this ledger, so its signatures must too.
      writeFileSync(tally, counted);
    },
  });
}

const isTree = ({ binding }: LedgerRow): boolean => binding?.kind === "tree";

function lengthOfOld(ground: Ground): number {
  return readVaultFile(join(ground.folder, "old", "part")).rows.length;
}

/** What goes back, and what is looked at before and after the start that must fail. */
interface Restoring {
  readonly part: string;
  readonly why: RegExp;
  readonly before?: () => void;
  readonly after?: () => void;
}

async function restoreOld(
  ground: Ground,
  random: Random,
  { part, why, before, after }: Restoring,
): Promise<number> {
  const place = join(ground.place.home, part);
  await ground.clients(0);
  await ground.stop();
  const old = join(await ground.scratch("old"), "part");
  cpSync(place, old, { recursive: true });
  await ground.start();
  await ground.clients(2);
  if (!(await ground.answered(random.whole(6, 14), patience(30_000))))
    throw new Error("L9: no answers");
  await ground.clients(0);
  await ground.stop();
  const right = join(await ground.scratch("right"), "part");
  cpSync(place, right, { recursive: true });
  replace(old, place);
  before?.();
  await expectRefusal(ground, why);
  after?.();
  replace(right, place);
  await ground.start();
  return 1;
}

function replace(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  // A stopped instance leaves no log beside a database; one that was killed while it refused may.
  for (const ending of ["-wal", "-shm"]) rmSync(`${to}${ending}`, { force: true });
  cpSync(from, to, { recursive: true });
  // Whoever restores a backup waits until it is on the disk; the next power cut is not about that.
  execFileSync("sync", ["-f", to]);
}

/** Damages a file; answers what was done. */
function damage(path: string, random: Random): string {
  const bytes = readFileSync(path);
  switch (random.pick(["flip", "flip", "flip", "cut", "delete"] as const)) {
    case "flip": {
      const at = random.whole(0, bytes.length);
      const bit = random.whole(0, 8);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      writeFileSync(path, bytes);
      return `bit ${bit} of byte ${at} flipped`;
    }
    case "cut": {
      const to = random.whole(0, bytes.length);
      truncateSync(path, to);
      return `cut to ${to} of ${bytes.length} bytes`;
    }
    case "delete":
      rmSync(path);
      return "deleted";
  }
}

/** @throws unless `fsck` reports damage, or what is stored has not changed. */
async function expectNoticed(
  home: string,
  scratch: string,
  { file, what }: { readonly file: string; readonly what: string },
): Promise<void> {
  if (await isDamaged(scratch)) return;
  const [now, before] = [content(join(scratch, file)), content(join(home, file))];
  const changed = [...before.keys()].filter((table) => now.get(table) !== before.get(table));
  if (changed.length === 0) return;
  throw new Error(`D7: nobody notices that ${changed.join()} of ${file} is damaged: ${what}`);
}

async function isDamaged(home: string): Promise<boolean> {
  let said = "";
  try {
    const code = await runFsck([], {
      folder: home,
      environment: { CHANCERY_HOME: home },
      print: (line: string) => (said += line),
    } as unknown as Parameters<typeof runFsck>[1]);
    return code !== 0;
  } catch {
    return true;
  }
}

/** Everything the guarded tables of a file hold, as text by table; an unreadable file has none. */
function content(path: string): ReadonlyMap<string, string> {
  if (!existsSync(path)) return new Map();
  try {
    using database = new DatabaseSync(path, { readOnly: true });
    const tables = database
      .prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
      .all()
      .map((row) => String(row["name"]));
    database.function("guardedEntries", (value) =>
      entriesOf(value as Uint8Array)
        .map(({ atMs, entry }) => `${atMs} ${entry.toHex()}`)
        .join("\n"),
    );
    return new Map(
      tables.map((table) => {
        const query = `SELECT ${guardedRows[table] ?? `* FROM "${table}"`}`;
        return [table, JSON.stringify(database.prepare(query).all())];
      }),
    );
  } catch {
    return new Map();
  }
}
