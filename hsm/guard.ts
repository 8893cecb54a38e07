/**
 * What a key may sign next, given what it has signed: a log never shrinks or forks, a tree head's time never runs back, a TUF
 * version is never used twice, a verdict gives one certificate. It judges and writes inside the ledger's transaction.
 */
import type { DatabaseSync } from "node:sqlite";
import { equalBytes } from "../core/formats/encoding.ts";
import { emptyRoot, verifyConsistency } from "../core/formats/merkle.ts";
import { Failure } from "../events/failure.ts";
import type { Outcome } from "./ledger-rows.ts";
import { runsOf } from "./runs.ts";

/** What a signable claims of its key's history. */
export type Claim =
  | { readonly kind: "none" }
  | {
      readonly kind: "tree";
      readonly size: bigint;
      readonly root: Uint8Array;
      readonly consistencyProof: readonly Uint8Array[];
      /** Tree heads only. */
      readonly timestampMs?: bigint;
    }
  | {
      readonly kind: "precertificate";
      /** SHA-256 of the TBSCertificate without poison, which is also what its certificate is announced by. */
      readonly core: Uint8Array;
      readonly serial: Uint8Array;
      /** SHA-256 of the sealed verdict. */
      readonly verdict: Uint8Array;
    }
  | {
      /** A certificate that never was a precertificate, because its SCT comes beside it. */
      readonly kind: "bareCertificate";
      /** SHA-256 of the TBSCertificate. */
      readonly core: Uint8Array;
      readonly serial: Uint8Array;
      readonly verdict: Uint8Array;
    }
  | {
      readonly kind: "role";
      readonly type: string;
      readonly version: number;
      /** SHA-256 of the canonical JSON. */
      readonly hash: Uint8Array;
      /** The role it points to, of which it must never name an older version than before. */
      readonly names?: { readonly type: string; readonly version: number };
    }
  | { readonly kind: "stamp"; readonly genTimeMs: bigint; readonly serial: Uint8Array };

/** The row that announces what is claimed. */
interface Admission {
  readonly sequence: number;
  readonly atMs: number;
  readonly final?: number;
}

/** A tree that a key signed. */
export interface SignedTree {
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly timestampMs: bigint;
}

/** A timestamp that a key signed. */
interface Stamp {
  readonly genTimeMs: bigint;
  readonly serial: Uint8Array;
}

/** The guard of an open vault. */
export class Guard {
  readonly #statements: Statements;
  /** The newest timestamp of each key that {@link admitAll} has admitted; null outside of it. */
  #stamped: Map<string, Stamp & { readonly sequence: number }> | null = null;

  constructor(database: DatabaseSync) {
    this.#statements = prepareAll(database);
  }

  /** The newest tree a key signed. */
  lastSigned(key: string): SignedTree {
    const row = this.#statements.head.get(key);
    if (row === undefined) return { size: 0n, root: emptyRoot(), timestampMs: 0n };
    return {
      size: integer(row["size"]),
      root: blob(row["root"]),
      timestampMs: integer(row["timestampMs"]),
    };
  }

  /**
   * Has `admit` admit everything that one transaction announces, one after the other. Of the timestamps in it only the newest of each key is written, at the
   * end: what comes before is held against the one before it all the same, and whoever reads the table never sees a part of a transaction.
   */
  admitAll<T>(announced: readonly T[], admit: (one: T) => void): void {
    this.#stamped = new Map();
    try {
      for (const one of announced) admit(one);
      for (const [key, { genTimeMs, serial, sequence }] of this.#stamped) {
        this.#statements.putStamp.run(key, genTimeMs, serial, sequence);
      }
    } finally {
      // Whatever is not committed was never admitted: the next transaction reads the table again.
      this.#stamped = null;
    }
  }

  /**
   * Judges a claim and writes what follows from it; only inside {@link admitAll}. `sequence` is that of the intent, `atMs` the time,
   * `final` the row that announces a precertificate's certificate: from here on it has one, whatever becomes of it.
   *
   * @throws {Failure} guard-refused, and then nothing is written
   */
  admit(key: string, claim: Claim, at: Admission): void {
    switch (claim.kind) {
      case "none":
        return;
      case "tree":
        this.#admitTree(key, claim, at.sequence);
        return;
      case "precertificate":
        this.#admitLeaf(key, claim, at);
        return;
      case "bareCertificate":
        // It is final: the same leaf with an SCT list would be a second certificate.
        this.#admitLeaf(key, claim, { ...at, final: at.sequence });
        return;
      case "role":
        this.#admitRole(key, claim, at.sequence);
        return;
      case "stamp":
        this.#admitStamp(key, claim, at.sequence);
        return;
    }
  }

  /** Takes note that precertificates exist. */
  settle(outcomes: readonly Outcome[]): void {
    const good = outcomes.filter(({ status }) => status === "ok").map(({ of }) => of);
    for (const [first, last] of runsOf(good)) this.#statements.markSigned.run(first, last);
  }

  /** A repeated attempt stands for the one before it. */
  follow(previous: number, sequence: number): void {
    this.#statements.follow.run(sequence, previous);
  }

  /** Forgets verdicts that are too old to be accepted again. */
  forget(beforeMs: number): void {
    this.#statements.forget.run(beforeMs);
  }

  #admitTree(key: string, claim: Extract<Claim, { kind: "tree" }>, sequence: number): void {
    const last = this.lastSigned(key);
    if (claim.size < last.size) {
      throw refused(
        `${key} signed size ${last.size} and will not sign size ${claim.size} after it`,
      );
    }
    if (claim.size === last.size && !equalBytes(claim.root, last.root)) {
      throw refused(`${key} signed another root at size ${last.size}: this would be a fork`);
    }
    const consistent = verifyConsistency({
      first: last.size,
      second: claim.size,
      firstRoot: last.root,
      secondRoot: claim.root,
      proof: claim.consistencyProof,
    });
    if (!consistent) {
      throw refused(
        `the consistency proof does not lead from size ${last.size}, which ${key} signed last, to size ${claim.size}`,
      );
    }
    const timestampMs = claim.timestampMs ?? last.timestampMs;
    if (timestampMs < last.timestampMs) {
      throw refused(`${key} signed a tree head of a later time before`);
    }
    this.#statements.putHead.run(key, claim.size, claim.root, timestampMs, sequence);
  }

  #admitLeaf(
    key: string,
    claim: Extract<Claim, { kind: "precertificate" | "bareCertificate" }>,
    { atMs, sequence, final }: Admission,
  ): void {
    const { core, serial, verdict } = claim;
    const { putCertificate, byVerdict } = this.#statements;
    if (final === undefined)
      throw new TypeError("a certificate is announced with its precertificate");
    // Verdict, serial number and core are unique in the table: a row that has one of them already keeps this one out.
    const put = putCertificate.run(core, key, serial, verdict, atMs, sequence, final);
    if (put.changes === 1) return;
    throw refused(
      byVerdict.get(verdict)
        ? "this verdict has been used for a precertificate already"
        : "this serial number has been used already",
    );
  }

  #admitRole(key: string, claim: Extract<Claim, { kind: "role" }>, sequence: number): void {
    const row = this.#statements.role.get(key, claim.type);
    const last = Number(row?.["version"] ?? 0);
    const same = row !== undefined && equalBytes(blob(row["hash"]), claim.hash);
    if (claim.version <= last && !(claim.version === last && same)) {
      throw refused(
        `${key} signed version ${last} of ${claim.type} and will not sign another version ${claim.version}`,
      );
    }
    if (claim.names) {
      const { type, version } = claim.names;
      const named = namedRole(claim.type, type);
      const before = Number(this.#statements.role.get(key, named)?.["version"] ?? 0);
      if (version < before) {
        throw refused(
          `${key} named version ${before} of ${type} in ${claim.type} and will not name version ${version} after it`,
        );
      }
      this.#statements.putRole.run(key, named, version, noHash, sequence);
    }
    this.#statements.putRole.run(key, claim.type, claim.version, claim.hash, sequence);
  }

  #admitStamp(key: string, claim: Extract<Claim, { kind: "stamp" }>, sequence: number): void {
    if (this.#stamped === null) throw new TypeError("a timestamp is admitted with its transaction");
    const { genTimeMs, serial } = claim;
    const last = this.#stamped.get(key) ?? this.#lastStamp(key);
    if (last !== null) {
      if (genTimeMs < last.genTimeMs) {
        throw refused(`${key} signed a timestamp of a later time before`);
      }
      if (equalBytes(last.serial, serial)) {
        throw refused("this timestamp's serial number has been used already");
      }
    }
    this.#stamped.set(key, { genTimeMs, serial, sequence });
  }

  #lastStamp(key: string): Stamp | null {
    const row = this.#statements.stamp.get(key);
    if (row === undefined) return null;
    return { genTimeMs: integer(row["genTimeMs"]), serial: blob(row["serial"]) };
  }
}

/** Under which the table of roles keeps what version of `named` a role named last. */
function namedRole(role: string, named: string): string {
  return `${role}/${named}`;
}

const noHash = new Uint8Array();

type Statements = ReturnType<typeof prepareAll>;

function prepareAll(database: DatabaseSync) {
  const bigints = (sql: string) => {
    const statement = database.prepare(sql);
    statement.setReadBigInts(true);
    return statement;
  };
  return {
    head: bigints("SELECT size, root, timestampMs FROM heads WHERE key = ?"),
    putHead: database.prepare(
      "INSERT OR REPLACE INTO heads (key, size, root, timestampMs, sequence) VALUES (?, ?, ?, ?, ?)",
    ),
    role: database.prepare("SELECT version, hash FROM roles WHERE key = ? AND type = ?"),
    putRole: database.prepare(
      "INSERT OR REPLACE INTO roles (key, type, version, hash, sequence) VALUES (?, ?, ?, ?, ?)",
    ),
    stamp: bigints("SELECT genTimeMs, serial FROM stamps WHERE key = ?"),
    putStamp: database.prepare(
      "INSERT OR REPLACE INTO stamps (key, genTimeMs, serial, sequence) VALUES (?, ?, ?, ?)",
    ),
    byVerdict: database.prepare("SELECT 1 FROM certificates WHERE verdict = ?"),
    putCertificate: database.prepare(
      "INSERT OR IGNORE INTO certificates (core, key, serial, verdict, intendedAtMs, precertificate, signed, final) VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
    ),
    markSigned: database.prepare(
      "UPDATE certificates SET signed = 1 WHERE precertificate BETWEEN ? AND ?",
    ),
    // A certificate that never was a precertificate is both in one attempt, also when that is repeated.
    follow: database.prepare(
      "UPDATE certificates SET final = CASE WHEN final = precertificate THEN ?1 ELSE final END, precertificate = ?1 WHERE precertificate = ?2",
    ),
    forget: database.prepare("DELETE FROM certificates WHERE intendedAtMs < ?"),
  };
}

function refused(message: string): Failure {
  return new Failure("guard-refused", message);
}

function blob(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array();
}

function integer(value: unknown): bigint {
  return typeof value === "bigint" ? value : 0n;
}
