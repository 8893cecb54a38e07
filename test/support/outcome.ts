/**
 * The outcome rules of every request that must be refused: the process lives, no log grows, nothing is signed, no packet leaves,
 * little is used, and the error is quiet. What was stored is read from the files, never asked of the service.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "vitest";
import type { Reply } from "./door-client.ts";

/** What a request may do; nothing unless said. */
export interface Allowance {
  /** It may be accepted, and then logs grow and signatures are made. */
  readonly mayLog?: boolean;
  /** Milliseconds of processor time and until the answer, where a case is many requests. */
  readonly cpuMs?: number;
  readonly answerMs?: number;
}

/** Everything that a bad request must leave as it is. */
export interface Effects {
  /** Rows by file and table. */
  readonly rows: { readonly [table: string]: number };
  /** Digest of all rows: entries, checkpoints, cursors, ledger. */
  readonly content: string;
  /** Signatures that the ledger knows to have been wanted. */
  readonly intents: number;
}

/** The databases of a home, read while others write them. */
export class Stored implements Disposable {
  readonly #files: readonly StoredFile[];

  constructor(home: string) {
    this.#files = ["data", "vault"].flatMap((folder) =>
      readdirSync(join(home, folder))
        .filter((name) => name.endsWith(".db"))
        .map((name) => new StoredFile(`${folder}/${name}`, join(home, folder, name))),
    );
  }

  /** What is stored now. Files that no other connection has written since are not read again. */
  effects(): Effects {
    const all = this.#files.map((file) => file.effects());
    return {
      rows: Object.assign({}, ...all.map(({ rows }) => rows)) as Effects["rows"],
      content: all.map(({ content }) => content).join(),
      intents: all.reduce((sum, { intents }) => sum + intents, 0),
    };
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file[Symbol.dispose]();
  }
}

class StoredFile implements Disposable {
  readonly #name: string;
  readonly #database: DatabaseSync;
  #version = "";
  #effects: Effects = { rows: {}, content: "", intents: 0 };

  constructor(name: string, path: string) {
    this.#name = name;
    this.#database = new DatabaseSync(path, { readOnly: true });
  }

  effects(): Effects {
    const version = JSON.stringify(this.#database.prepare("PRAGMA data_version").get());
    if (version === this.#version) return this.#effects;
    this.#version = version;
    return (this.#effects = this.#read());
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #read(): Effects {
    const digest = createHash("sha256");
    const rows: { [table: string]: number } = {};
    let intents = 0;
    const tables = this.#database
      .prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
      .all() as { name: string }[];
    for (const table of tables) {
      if (isAudit(this.#name, table.name)) continue;
      const all = this.#database
        .prepare(`SELECT * FROM "${table.name}"`)
        .all()
        .filter((row) => !isRefusedSignIn(this.#name, row));
      rows[`${this.#name} ${table.name}`] = all.length;
      for (const row of all) {
        const values = Object.values(row).map((value) =>
          value instanceof Uint8Array ? Buffer.from(value).toString("hex") : String(value),
        );
        digest.update(`${table.name} ${values.join(" ")}\n`);
        if (table.name === "ledger" && /"type":"intent"/.test(values.join(" "))) intents++;
      }
    }
    return { rows, content: digest.digest("hex"), intents };
  }
}

/** The issuer's record of what it refused, and to whom, and the trail that follows it: all that a refusal adds. */
function isAudit(file: string, table: string): boolean {
  return file === "data/audit.db" || (file === "data/issuer.db" && table === "stream_facts");
}

/** The same of refused sign-ins, which share their stream with accepted ones. */
function isRefusedSignIn(file: string, row: Readonly<Record<string, unknown>>): boolean {
  if (file !== "data/idp.db") return false;
  return Object.values(row).some(
    (value) => value instanceof Uint8Array && Buffer.from(value).includes("signInsRefused"),
  );
}

/** What processes have used. */
export interface Usage {
  readonly rssMiB: number;
  readonly cpuMs: number;
  /** Time that they were ready to run and something else ran: the machine's fault, not theirs. */
  readonly waitedMs: number;
}

/** Sums over processes. */
export function usageOf(pids: readonly number[]): Usage {
  const all = pids.map((pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [, delay = "0"] = readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ");
    return {
      rssMiB: (Number(fields[21]) * 4_096) / 2 ** 20,
      cpuMs: (Number(fields[11]) + Number(fields[12])) * 10,
      waitedMs: Number(delay) / 1e6,
    };
  });
  const sum = (of: (usage: Usage) => number) => all.reduce((total, one) => total + of(one), 0);
  return {
    rssMiB: sum(({ rssMiB }) => rssMiB),
    cpuMs: sum(({ cpuMs }) => cpuMs),
    waitedMs: sum(({ waitedMs }) => waitedMs),
  };
}

/** Text that hostile requests carry wherever they can, so that no answer may repeat it. */
export const marker = "zq7Echo";

/** I6. Answers of a refused request: short, one of the known texts, with a request id and the right type, and nothing from inside. */
export function expectQuietError({ status, headers, body }: Reply): void {
  const isPage = headers["content-type"]?.startsWith("text/html") === true;
  expect(body.length).toBeLessThanOrEqual(isPage ? 8_192 : 1_024);
  expect(headers["x-request-id"]).toMatch(/^[0-9a-f]{32}$/);
  expect(body).not.toContain(marker);
  if (isPage) {
    // A page of the sign-in: people read it, and nothing in it is anybody else's.
    expect(headers["content-security-policy"]).toContain("default-src 'none'");
    return;
  }
  expect(body).not.toMatch(
    /node_modules|node:|\.ts\b|at \w+ \(|\/[a-z]+\/[a-z]+|sqlite|SELECT|SoftHSM|CKR_|FST_|ERR_|valibot|asn1|SyntaxError/i,
  );
  if (body === "") return;
  const type = headers["content-type"] ?? "";
  if (type === "text/plain; charset=utf-8") {
    expect(body).toMatch(/^[a-z][a-z ,'-]+\n$/);
    return;
  }
  expect(type).toBe("application/json");
  const said = JSON.parse(body) as { [name: string]: unknown };
  const text = said["message"] ?? said["error_description"];
  expect(text).toMatch(/^[A-Za-z][A-Za-z ,'()_-]+$/);
  if ("code" in said && !("details" in said)) expect(said["code"]).toBe(status);
  expect(Object.keys(said).join()).toMatch(
    /^(?:code,message|code,message,details|error,error_description|status(?:,rooms)?)$/,
  );
}
