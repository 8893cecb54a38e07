/** Checks a vault's part of a home: the ledger's chain, outcomes, and whether guard and ledger agree. Works beside a running vault. */
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import * as v from "valibot";
import { encodeHex, equalBytes } from "../core/formats/encoding.ts";
import { parseJson } from "../core/formats/json.ts";
import { readState } from "./database.ts";
import {
  CertificateCheck,
  compareOpen,
  compareOrigins,
  compareStamps,
  type LastStamp,
} from "./fsck-guard.ts";
import { readKeyring } from "./keyring.ts";
import {
  genesisHash,
  type IntentRow,
  ledgerRow,
  type LedgerRow,
  type Outcome,
  rowHash,
} from "./ledger-rows.ts";

/** One thing that was found. */
interface VaultFinding {
  /** `broken` means that what must hold does not; `notice` that an operator should know. */
  readonly severity: "broken" | "notice";
  readonly message: string;
}

/** What a check of the vault tells. */
export interface VaultReport {
  readonly findings: readonly VaultFinding[];
  readonly rows: number;
  /** Signatures that keys are known to have made, by label. */
  readonly signatures: { readonly [label: string]: number };
  /** The newest tree that each log's key signed, by label; the root in hex. */
  readonly heads: { readonly [label: string]: { readonly size: bigint; readonly root: string } };
  /** Hashes of the TUF roles that were to be signed, as the ledger has them, by `type version`. */
  readonly roles: { readonly [role: string]: readonly string[] };
}

/** Checks the vault of a home. @throws {VaultRefused} if there is none */
export async function fsckVault({ home }: { readonly home: string }): Promise<VaultReport> {
  const keyring = await readKeyring(join(home, "vault", "keyring.json"));
  using database = readState(join(home, "vault"));
  // One read transaction: what a running vault writes meanwhile is not seen.
  database.exec("BEGIN");
  const labels = new Set(keyring.keys.map(({ label }) => label));
  const walk = new Walk(labels, database);
  const rows = database.prepare("SELECT sequence, body, hash FROM ledger ORDER BY sequence");
  for (const row of rows.iterate()) {
    const hash = row["hash"] instanceof Uint8Array ? row["hash"] : new Uint8Array();
    walk.take(Number(row["sequence"]), String(row["body"]), hash);
  }
  walk.finish();
  const heads = compareHeads(database, walk);
  compareRoles(database, walk);
  const broken = (message: string): void => walk.broken(message);
  compareOrigins(database, broken);
  compareStamps(database, walk.stamps, broken);
  compareOpen(database, { attempts: walk.open, operations: walk.announced }, broken);
  compareToken(database, keyring.token.serial, walk);
  const { findings, count, signatures, roleHashes } = walk;
  const roles = Object.fromEntries(roleHashes);
  return { findings, rows: count, signatures: Object.fromEntries(signatures), heads, roles };
}

/** Follows the ledger row by row. */
class Walk {
  readonly findings: VaultFinding[] = [];
  readonly signatures = new Map<string, number>();
  /** The last tree by key label, and the last role by key label and type. */
  readonly trees = new Map<string, { readonly size: string; readonly root: string }>();
  readonly roles = new Map<string, number>();
  readonly roleHashes = new Map<string, readonly string[]>();
  /** The newest timestamp by key label. */
  readonly stamps = new Map<string, LastStamp>();
  /** Operations that are announced and not done, by key label: the hash of what they come to. */
  readonly announced = new Map<string, string>();
  count = 0;
  /** Of the keyring; of keys that operators had made, also after they were retired. */
  readonly #labels: Set<string>;
  readonly #open = new Map<number, IntentRow>();
  /** Rows of keys that are not known yet, by label. */
  readonly #strangers = new Map<string, number[]>();
  #previous: Uint8Array = genesisHash;
  readonly #unknown: IntentRow[] = [];

  readonly #certificates: CertificateCheck;

  constructor(labels: ReadonlySet<string>, database: DatabaseSync) {
    this.#labels = new Set(labels);
    this.#certificates = new CertificateCheck(database, (message) => this.broken(message));
  }

  /** Attempts without an outcome. */
  get open(): ReadonlySet<number> {
    return new Set(this.#open.keys());
  }

  take(sequence: number, body: string, hash: Uint8Array): void {
    this.count += 1;
    if (sequence !== this.count || !equalBytes(rowHash(this.#previous, sequence, body), hash)) {
      this.broken(`row ${sequence} of the ledger does not follow from the one before it`);
    }
    this.count = sequence;
    this.#previous = hash;
    const parsed = v.safeParse(ledgerRow, json(body));
    if (!parsed.success) {
      this.broken(`row ${sequence} of the ledger is not one`);
      return;
    }
    this.#read(sequence, parsed.output);
  }

  finish(): void {
    for (const [key, rows] of this.#strangers) {
      for (const row of rows) this.broken(`row ${row} names the unknown key ${key}`);
    }
    this.#certificates.finish();
    if (this.#open.size > 0) {
      const rows = [...this.#open.keys()].slice(0, 10).join(", ");
      this.#notice(
        `${this.#open.size} attempts have no outcome yet (rows ${rows}): under way, or for the next start to call unknown-signed${announcedAmong([...this.#open.values()])}`,
      );
    }
    if (this.#unknown.length > 0) {
      this.#notice(
        `${this.#unknown.length} attempts are unknown-signed: the vault was killed during them${announcedAmong(this.#unknown)}`,
      );
    }
  }

  broken(message: string): void {
    this.findings.push({ severity: "broken", message });
  }

  #read(sequence: number, row: LedgerRow): void {
    switch (row.type) {
      case "start":
      case "refusal":
        return;
      case "operation":
        if (row.phase === "announced") this.announced.set(row.key, row.hash);
        else {
          // The ceremony that destroys it takes it out of the keyring, and what it signed stays in the ledger.
          if (row.operation === "retireKey") this.#strangers.delete(row.key);
          this.#labels.add(row.key);
          this.announced.delete(row.key);
        }
        return;
      case "intent":
        if (!this.#labels.has(row.key)) {
          const rows = this.#strangers.get(row.key) ?? [];
          rows.push(sequence);
          this.#strangers.set(row.key, rows);
        }
        this.#open.set(sequence, row);
        this.#certificates.intend(sequence, row);
        this.#follow(sequence, row);
        return;
      case "outcomes":
        for (const outcome of row.results) this.#settle(sequence, outcome);
        return;
    }
  }

  #follow(sequence: number, { key, binding, hash }: IntentRow): void {
    if (binding.kind === "stamp") {
      const last = this.stamps.get(key);
      if (last && BigInt(binding.genTimeMs) < BigInt(last.genTimeMs)) {
        this.broken(`row ${sequence}: ${key} signed a timestamp of a time before the last one`);
      }
      this.stamps.set(key, binding);
    }
    if (binding.kind === "tree") {
      const last = this.trees.get(key);
      const { size, root } = binding;
      if (last && BigInt(size) < BigInt(last.size)) {
        this.broken(`row ${sequence}: ${key} signed size ${size} after size ${last.size}`);
      }
      if (last && size === last.size && root !== last.root) {
        this.broken(`row ${sequence}: ${key} signed two roots at size ${size}, which is a fork`);
      }
      this.trees.set(key, { size, root });
    }
    if (binding.kind === "role") {
      const name = `${key} ${binding.type}`;
      if (binding.version < (this.roles.get(name) ?? 0)) {
        this.broken(`row ${sequence}: ${name} went back to version ${binding.version}`);
      }
      this.roles.set(name, binding.version);
      const role = `${binding.type} ${binding.version}`;
      this.roleHashes.set(role, [...(this.roleHashes.get(role) ?? []), hash]);
    }
  }

  #settle(sequence: number, { of, status, made, hash }: Outcome): void {
    const intent = this.#open.get(of);
    if (!intent) {
      this.broken(`row ${sequence} is an outcome of row ${of}, which is not an open attempt`);
      return;
    }
    this.#open.delete(of);
    if (status === "ok") this.#certificates.succeed(of);
    this.signatures.set(intent.key, (this.signatures.get(intent.key) ?? 0) + made);
    if (status === "ok" && made !== intent.count) {
      this.broken(`row ${of} was for ${intent.count} signatures, its outcome has ${made}`);
    }
    if (status === "ok" && (hash !== undefined) !== (intent.named === "core")) {
      this.broken(`row ${of} and its outcome do not say in one place what was signed`);
    }
    if (status === "bad")
      this.#notice(`row ${of}: ${intent.key} gave a signature that does not verify`);
    if (status === "unknown-signed") this.#unknown.push(intent);
  }

  #notice(message: string): void {
    this.findings.push({ severity: "notice", message });
  }
}

/** Certificates that were announced may never have been begun. */
function announcedAmong(rows: readonly IntentRow[]): string {
  const announced = rows.filter(({ named }) => named === "core").length;
  return announced === 0 ? "" : `; ${announced} of them announced, and perhaps never begun`;
}

function compareHeads(database: DatabaseSync, walk: Walk): VaultReport["heads"] {
  const statement = database.prepare("SELECT key, size, root FROM heads");
  statement.setReadBigInts(true);
  const heads = new Map<string, { size: bigint; root: string }>();
  for (const row of statement.all()) {
    const size = typeof row["size"] === "bigint" ? row["size"] : -1n;
    const root = row["root"] instanceof Uint8Array ? encodeHex(row["root"]) : "";
    heads.set(String(row["key"]), { size, root });
  }
  for (const label of new Set([...heads.keys(), ...walk.trees.keys()])) {
    const head = heads.get(label);
    const tree = walk.trees.get(label);
    if (head?.size.toString() !== tree?.size || head?.root !== tree?.root) {
      walk.broken(
        `the guard's tree of ${label} (size ${head?.size ?? "none"}) is not the last one in the ledger (size ${tree?.size ?? "none"})`,
      );
    }
  }
  return Object.fromEntries(heads);
}

function compareRoles(database: DatabaseSync, walk: Walk): void {
  const rows = database
    .prepare("SELECT key, type, version FROM roles WHERE type NOT LIKE '%/%'")
    .all();
  const roles = new Map(
    rows.map((row) => [`${String(row["key"])} ${String(row["type"])}`, Number(row["version"])]),
  );
  for (const name of new Set([...roles.keys(), ...walk.roles.keys()])) {
    if (roles.get(name) !== walk.roles.get(name)) {
      walk.broken(`the guard's version of ${name} is not the last one in the ledger`);
    }
  }
}

function compareToken(database: DatabaseSync, serial: string, walk: Walk): void {
  const row = database.prepare("SELECT value FROM meta WHERE name = 'tokenSerial'").get();
  if (row?.["value"] === serial) return;
  walk.broken("the vault's state is of another token than its keyring");
}

function json(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
