/** Holds every table of the guard against the ledger: what the guard decides by must be what the ledger says was attempted. */
import { hash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import * as v from "valibot";
import { encodeHex } from "../core/formats/encoding.ts";
import { parseJson } from "../core/formats/json.ts";
import { type IntentRow, ledgerRow, type LedgerRow } from "./ledger-rows.ts";

/** Takes note of something that must hold and does not. */
export type Broken = (message: string) => void;

/** A precertificate's row of the guard. */
interface CertificateRow {
  readonly core: string;
  readonly key: string;
  readonly serial: string;
  readonly verdict: string;
  readonly precertificate: number;
  readonly signed: boolean;
  readonly final: number | null;
  readonly intendedAtMs: number;
}

/** How far apart the guard's and the ledger's look at the clock may be. */
const clockLookMs = 1_000;

/** What the ledger's walk tells the table of certificates row by row; the table itself is small, for old rows are forgotten. */
export class CertificateCheck {
  readonly #rows: readonly CertificateRow[];
  readonly #known: ReadonlySet<string>;
  readonly #fromMs: number;
  /** Intents that rows point to, and attempts among them that went well. */
  readonly #intents = new Map<number, IntentRow>();
  readonly #ok = new Set<number>();
  readonly #wanted: ReadonlySet<number>;
  readonly #serials = new Set<string>();
  readonly #broken: Broken;

  constructor(database: DatabaseSync, broken: Broken) {
    this.#broken = broken;
    this.#rows = readCertificates(database);
    this.#known = new Set(this.#rows.map(({ key, serial }) => `${key} ${serial}`));
    this.#fromMs = Math.min(...this.#rows.map(({ intendedAtMs }) => intendedAtMs)) + clockLookMs;
    this.#wanted = new Set(
      this.#rows.flatMap(({ precertificate, final }) => [precertificate, final ?? 0]),
    );
  }

  /** An intent of the ledger. */
  intend(sequence: number, row: IntentRow): void {
    if (this.#wanted.has(sequence)) this.#intents.set(sequence, row);
    const { binding, key, atMs, retryOf } = row;
    if (binding.kind !== "precertificate") return;
    const name = `${key} ${binding.serial}`;
    if (retryOf === undefined && this.#serials.has(name)) {
      this.#broken(`row ${sequence}: ${key} was to sign serial number ${binding.serial} twice`);
    }
    this.#serials.add(name);
    if (atMs > this.#fromMs && !this.#known.has(name)) {
      this.#broken(
        `the guard does not know of serial number ${binding.serial} of ${key} (row ${sequence})`,
      );
    }
  }

  /** An attempt that went well. */
  succeed(sequence: number): void {
    if (this.#wanted.has(sequence)) this.#ok.add(sequence);
  }

  /** Holds the table against what was told. */
  finish(): void {
    for (const row of this.#rows) {
      const { core, key, serial, verdict, precertificate, signed, final } = row;
      const isOf = (sequence: number, kind: "precertificate" | "certificate"): boolean => {
        const { binding, key: signer } = this.#intents.get(sequence) ?? {};
        if (signer !== key || binding?.kind !== kind || binding.verdict !== verdict) return false;
        return binding.serial === serial;
      };
      const what = `the guard's row of serial number ${serial} of ${key}`;
      // A certificate that never was a precertificate, because its SCT comes beside it, is both in one attempt.
      if (!isOf(precertificate, final === precertificate ? "certificate" : "precertificate")) {
        this.#broken(`${what} is not what row ${precertificate} of the ledger attempted`);
      } else if (signed !== this.#ok.has(precertificate)) {
        this.#broken(`${what} and the outcome of row ${precertificate} do not agree`);
      }
      if (final === null) continue;
      const { named, hash: attempted } = this.#intents.get(final) ?? {};
      // A certificate that was announced with its precertificate is named by what both have in common.
      if (!isOf(final, "certificate") || (named === "core" && attempted !== core)) {
        this.#broken(`${what} names row ${final} of the ledger, which is not its certificate's`);
      }
    }
  }
}

function readCertificates(database: DatabaseSync): readonly CertificateRow[] {
  return database
    .prepare(
      "SELECT core, key, serial, verdict, precertificate, signed, final, intendedAtMs FROM certificates",
    )
    .all()
    .map((row) => ({
      core: hexOf(row["core"]),
      key: String(row["key"]),
      serial: hexOf(row["serial"]),
      verdict: hexOf(row["verdict"]),
      precertificate: Number(row["precertificate"]),
      signed: row["signed"] === 1,
      final: row["final"] === null ? null : Number(row["final"]),
      intendedAtMs: Number(row["intendedAtMs"]),
    }));
}

/** The newest timestamp by key, as the ledger's walk found it. */
export interface LastStamp {
  readonly genTimeMs: string;
  readonly serial: string;
}

/** The guard's newest timestamps must be the ledger's. */
export function compareStamps(
  database: DatabaseSync,
  last: ReadonlyMap<string, LastStamp>,
  broken: Broken,
): void {
  const statement = database.prepare("SELECT key, genTimeMs, serial FROM stamps");
  statement.setReadBigInts(true);
  const stamps = new Map(
    statement
      .all()
      .map((row) => [
        String(row["key"]),
        { genTimeMs: String(row["genTimeMs"]), serial: hexOf(row["serial"]) },
      ]),
  );
  for (const key of new Set([...stamps.keys(), ...last.keys()])) {
    const [guarded, told] = [stamps.get(key), last.get(key)];
    if (guarded?.genTimeMs === told?.genTimeMs && guarded?.serial === told?.serial) continue;
    broken(`the guard's newest timestamp of ${key} is not the last one in the ledger`);
  }
}

/** Where a row of the guard says from which row of the ledger it is, that row must say the same. */
export function compareOrigins(database: DatabaseSync, broken: Broken): void {
  const at = database.prepare("SELECT body FROM ledger WHERE sequence = ?");
  const intent = (sequence: unknown): IntentRow | null => {
    const row = parseRow(String(at.get(Number(sequence))?.["body"]));
    return row?.type === "intent" ? row : null;
  };
  for (const row of database.prepare("SELECT key, root, sequence FROM heads").all()) {
    const { key, binding } = intent(row["sequence"]) ?? {};
    const holds = binding?.kind === "tree" && binding.root === hexOf(row["root"]);
    if (!holds || key !== row["key"]) {
      broken(`the guard's tree of ${String(row["key"])} is not of the row of the ledger it names`);
    }
  }
  for (const row of database
    .prepare("SELECT key, type, version, hash, sequence FROM roles")
    .all()) {
    const type = String(row["type"]);
    const { key, binding, hash: attempted } = intent(row["sequence"]) ?? {};
    // What a role names has no hash of its own: its type is behind a slash, and the row is the naming role's.
    const [naming = ""] = type.split("/");
    const isNamed = naming !== type;
    const holds =
      binding?.kind === "role" &&
      binding.type === naming &&
      (isNamed || (binding.version === row["version"] && attempted === hashOfHash(row["hash"])));
    if (!holds || key !== row["key"]) {
      broken(`the guard's ${type} of ${String(row["key"])} is not what the ledger attempted`);
    }
  }
}

/** Attempts without an outcome, and operations that are only announced, must stand in the tables by which the next start finds them. */
export function compareOpen(
  database: DatabaseSync,
  open: {
    readonly attempts: ReadonlySet<number>;
    readonly operations: ReadonlyMap<string, string>;
  },
  broken: Broken,
): void {
  const unfinished = new Set(
    database
      .prepare("SELECT sequence FROM unfinished")
      .all()
      .map((row) => Number(row["sequence"])),
  );
  for (const sequence of new Set([...unfinished, ...open.attempts])) {
    if (unfinished.has(sequence) && open.attempts.has(sequence)) continue;
    broken(
      unfinished.has(sequence)
        ? `row ${sequence} is listed as unfinished, but it has an outcome or is no attempt`
        : `row ${sequence} has no outcome and is not listed as unfinished`,
    );
  }
  const isThere = database
    .prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'announced'")
    .get();
  const announced = isThere ? database.prepare("SELECT key, hash FROM announced").all() : [];
  for (const row of announced) {
    if (open.operations.get(String(row["key"])) === row["hash"]) continue;
    broken(`an operation on ${String(row["key"])} is announced that the ledger does not tell of`);
  }
}

function parseRow(body: string): LedgerRow | null {
  try {
    const parsed = v.safeParse(ledgerRow, parseJson(body));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}

/** As the ledger has it: over the hashes of what is signed, here one. */
function hashOfHash(value: unknown): string {
  return hash("sha256", value instanceof Uint8Array ? value : new Uint8Array(), "hex");
}

function hexOf(value: unknown): string {
  return value instanceof Uint8Array ? encodeHex(value) : "";
}
