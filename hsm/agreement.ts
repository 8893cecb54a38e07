/**
 * Whether guard and ledger tell the same story, as far as a start can afford to look: what the guard knows must be in the ledger, and
 * the newest trees in the ledger must be known to the guard. Rows that were taken away from the end of either show here.
 */
import type { DatabaseSync } from "node:sqlite";
import * as v from "valibot";
import { encodeHex } from "../core/formats/encoding.ts";
import { parseJson } from "../core/formats/json.ts";
import { VaultRefused } from "./errors.ts";
import { type IntentRow, ledgerRow } from "./ledger-rows.ts";

/** How many of the newest rows are held against the guard. `fsck` takes all. */
const rowsCompared = 1_000;

/** @throws {VaultRefused} if one of them lacks what the other has. */
export function requireAgreement(database: DatabaseSync): void {
  const heads = database.prepare("SELECT key, size, root, sequence FROM heads");
  heads.setReadBigInts(true);
  const intent = database.prepare("SELECT body FROM ledger WHERE sequence = ?");
  const sizes = new Map<string, bigint>();
  for (const row of heads.all()) {
    const key = String(row["key"]);
    const size = typeof row["size"] === "bigint" ? row["size"] : -1n;
    const root = row["root"] instanceof Uint8Array ? encodeHex(row["root"]) : "";
    const sequence = typeof row["sequence"] === "bigint" ? row["sequence"] : -1n;
    const said = intentIn(intent.get(sequence)?.["body"]);
    const isTold =
      said?.key === key &&
      said.binding.kind === "tree" &&
      said.binding.size === String(size) &&
      said.binding.root === root;
    if (!isTold)
      throw disagreement(`the guard's tree of ${key} (size ${size}) is not in row`, sequence);
    sizes.set(key, size);
  }
  requireWatermark(database);
  const newest = database.prepare(
    "SELECT sequence, body FROM ledger ORDER BY sequence DESC LIMIT ?",
  );
  for (const row of newest.all(rowsCompared)) {
    const said = intentIn(row["body"]);
    if (said?.binding.kind !== "tree") continue;
    if (BigInt(said.binding.size) <= (sizes.get(said.key) ?? -1n)) continue;
    throw disagreement(`the guard does not know the tree of ${said.key} in row`, row["sequence"]);
  }
}

/** No part of the guard was written after the ledger's last row. */
function requireWatermark(database: DatabaseSync): void {
  const last = database.prepare("SELECT coalesce(max(sequence), 0) AS n FROM ledger").get()?.["n"];
  for (const [table, column] of [
    ["roles", "sequence"],
    ["stamps", "sequence"],
    ["certificates", "precertificate"],
    ["unfinished", "sequence"],
  ] as const) {
    const row = database.prepare(`SELECT coalesce(max(${column}), 0) AS n FROM ${table}`).get();
    if (Number(row?.["n"]) <= Number(last)) continue;
    throw disagreement(`the guard's table of ${table} is newer than the ledger's last row,`, last);
  }
}

function intentIn(body: unknown): IntentRow | null {
  const parsed = v.safeParse(ledgerRow, json(body));
  return parsed.success && parsed.output.type === "intent" ? parsed.output : null;
}

function json(body: unknown): unknown {
  try {
    return parseJson(String(body));
  } catch {
    return null;
  }
}

function disagreement(what: string, sequence: unknown): VaultRefused {
  return new VaultRefused(
    `${what} ${String(sequence)} of the vault's ledger: rows of vault.db were taken away or changed; run chancery fsck`,
  );
}
