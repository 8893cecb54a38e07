/** The texts that entries are found by, each once; and the profiles, the sets of texts that entries have in common. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { bytesOf, IndexDamaged } from "./database.ts";
import { clip, type Term } from "./fields.ts";
import { NumberReader, writeNumber } from "./page.ts";
import type { Pattern } from "./wildcard.ts";

/** What is remembered of each kind; beyond that it is read again. */
const maxRemembered = 16_384;
const longestNumber = 8;

/** The index's dictionary. What it remembers may be more than what the file has after an error: it is made anew then. */
export class Dictionary {
  readonly #statements: Statements;
  readonly #profiles = new Map<string, number>();
  readonly #ids = new Map<string, number>();
  readonly #terms = new Map<number, Term>();
  readonly #termsOf = new Map<number, readonly number[]>();

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database);
  }

  /** The number of the profile with exactly these terms; it is made if there is none. Only in a transaction. */
  profileOf(terms: readonly Term[]): number {
    const name = JSON.stringify(terms);
    const known = this.#profiles.get(name);
    if (known !== undefined) return known;
    const ids = terms.map((term) => this.#idOf(term)).toSorted((a, b) => a - b);
    const packed = pack(ids);
    const found = this.#statements.findProfile.get(packed);
    const profile = found === undefined ? this.#addProfile(ids, packed) : Number(found["id"]);
    remember(this.#profiles, name, profile);
    return profile;
  }

  /** The terms of a profile. */
  termsOf(profile: number): readonly Term[] {
    let ids = this.#termsOf.get(profile);
    if (ids === undefined) {
      const row = this.#statements.readProfile.get(profile);
      if (row === undefined) throw new IndexDamaged("an entry has a profile that is not there");
      ids = unpack(bytesOf(row["terms"]));
      remember(this.#termsOf, profile, ids);
    }
    return ids.map((id) => this.#term(id));
  }

  /** Numbers of the terms under one of `fields` that match; null if there are more than `most`, or too many to look at. */
  find(fields: readonly number[], pattern: Pattern, most: number): readonly number[] | null {
    const found: number[] = [];
    for (const field of fields) {
      if (pattern.isPlain) {
        const row = this.#statements.findTerm.get(field, clip(pattern.text));
        if (row !== undefined) found.push(Number(row["id"]));
        continue;
      }
      let looked = 0;
      for (const row of this.#statements.scanTerms.iterate(field, pattern.prefix)) {
        const value = String(row["value"]);
        if (!value.startsWith(pattern.prefix)) break;
        if (pattern.matches(value)) found.push(Number(row["id"]));
        if (found.length > most || ++looked > maxScanned) return null;
      }
    }
    return found;
  }

  /** Numbers of the profiles with one of these terms; null if there are more than `most`. */
  holders(terms: readonly number[], most: number): ReadonlySet<number> | null {
    const found = new Set<number>();
    for (const term of terms) {
      for (const row of this.#statements.holders.iterate(term)) {
        found.add(Number(row["profile"]));
        if (found.size > most) return null;
      }
    }
    return found;
  }

  #idOf({ field, value }: Term): number {
    const name = `${field} ${value}`;
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const found = this.#statements.findTerm.get(field, value);
    const id =
      found === undefined
        ? Number(this.#statements.addTerm.run(field, value).lastInsertRowid)
        : Number(found["id"]);
    remember(this.#ids, name, id);
    return id;
  }

  #addProfile(ids: readonly number[], packed: Uint8Array): number {
    const profile = Number(this.#statements.addProfile.run(packed).lastInsertRowid);
    for (const id of ids) this.#statements.addHolder.run(id, profile);
    return profile;
  }

  #term(id: number): Term {
    const known = this.#terms.get(id);
    if (known !== undefined) return known;
    const row = this.#statements.readTerm.get(id);
    if (row === undefined) throw new IndexDamaged("a profile has a term that is not there");
    const term = { field: Number(row["field"]), value: String(row["value"]) };
    remember(this.#terms, id, term);
    return term;
  }
}

/** Texts that one pattern is held against: beyond that it is held against entries instead. */
const maxScanned = 300_000;

type Statements = ReturnType<typeof prepare>;

function prepare(database: DatabaseSync) {
  const statement = (sql: string): StatementSync => database.prepare(sql);
  return {
    findTerm: statement("SELECT id FROM terms WHERE field = ? AND value = ?"),
    scanTerms: statement(
      "SELECT id, value FROM terms WHERE field = ? AND value >= ? ORDER BY value",
    ),
    addTerm: statement("INSERT INTO terms (field, value) VALUES (?, ?)"),
    readTerm: statement("SELECT field, value FROM terms WHERE id = ?"),
    findProfile: statement("SELECT id FROM profiles WHERE terms = ?"),
    addProfile: statement("INSERT INTO profiles (terms) VALUES (?)"),
    readProfile: statement("SELECT terms FROM profiles WHERE id = ?"),
    addHolder: statement("INSERT INTO holders VALUES (?, ?)"),
    holders: statement("SELECT profile FROM holders WHERE term = ?"),
  };
}

function remember<K, V>(known: Map<K, V>, key: K, value: V): void {
  if (known.size >= maxRemembered) known.clear();
  known.set(key, value);
}

function pack(ids: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(ids.length * longestNumber);
  let end = 0;
  let last = 0;
  for (const id of ids) {
    end = writeNumber(bytes, end, id - last);
    last = id;
  }
  return bytes.slice(0, end);
}

function unpack(bytes: Uint8Array): readonly number[] {
  const ids: number[] = [];
  const reader = new NumberReader(bytes, 0);
  let last = 0;
  while (!reader.isDone) ids.push((last += reader.next()));
  return ids;
}
