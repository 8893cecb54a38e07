/** A vault on a token that issues and promises, and what its ledger says. */
import { expect } from "vitest";
import { completeCertificate, sign } from "../../events/hsm.ts";
import { fsckVault } from "../../hsm/commands.ts";
import { readState } from "../../hsm/database.ts";
import { bootForTest } from "../support/boot.ts";
import { softVault } from "../support/vault.ts";
import { newLeaf, selfIssued, startedAt } from "./leaf.ts";

const issuing = (label: string) => ({
  label,
  purposes: ["certificate" as const],
  askers: ["issuer"],
  chain: selfIssued,
});
const logKey = (label: string) => ({ label, purposes: ["scts" as const], askers: ["log"] });
type Leaf = ReturnType<typeof newLeaf>;

/** A vault of two issuing keys and two logs' keys, and a clock that stands until it is set. */
export async function issuingVault(settings: { readonly signing?: "async" } = {}) {
  const vault = await softVault({
    config: settings,
    keys: [issuing("issuing-ca"), issuing("next-ca"), logKey("ct-log"), logKey("ct-shard")],
  });
  let now = startedAt;
  const { config, home, pin, entry } = vault;
  const clock = { now: () => now };
  const start = async () =>
    await bootForTest({ entries: [entry], config: { hsm: config }, home, pin, clock });
  let own = await start();
  const keyOf = (label: string) => vault.keys[label] ?? new Uint8Array();
  return {
    vault,
    keyOf,
    leaf: (label = "issuing-ca") => newLeaf(keyOf(label), { atMs: startedAt.getTime() }),
    setClock: (to: Date) => (now = to),
    certify: async ({ pre: tbs, verdict }: Leaf, key = "issuing-ca") => {
      const signable = { purpose: "certificate" as const, tbs, verdict };
      await own.ask(sign, { key, signable }, "issuer");
    },
    promise: async (leaves: readonly Leaf[], key = "ct-log") => {
      const signable = { purpose: "scts" as const, entries: leaves.map(({ entry: one }) => one) };
      return (await own.ask(sign, { key, signable }, "log")).signatures;
    },
    complete: async ({ completion }: Leaf, change: object = {}, asker = "issuer") => {
      const question = { key: "issuing-ca", logs: ["ct-log"], ...completion, ...change };
      return await own.ask(completeCertificate, question, asker);
    },
    stop: async () => await own.dispose(),
    restart: async () => {
      await own.dispose();
      own = await start();
    },
    async [Symbol.asyncDispose]() {
      await own.dispose();
      const { findings } = await fsckVault({ home });
      expect(findings).toEqual([]);
      vault.dispose();
    },
  };
}

/** Rows of the ledger. */
export function rowsOf(home: string): readonly { [member: string]: unknown }[] {
  using database = readState(`${home}/vault`);
  return database
    .prepare("SELECT body FROM ledger ORDER BY sequence")
    .all()
    .map((row) => JSON.parse(String(row["body"])) as { [member: string]: unknown });
}

type Told = { readonly of: number; readonly [member: string]: unknown };

/** How the attempt of a row ended. */
export function outcomeOf(home: string, sequence: number | undefined): Told | undefined {
  return rowsOf(home)
    .flatMap((row) => (row["results"] ?? []) as Told[])
    .find(({ of }) => of === sequence);
}

/** The rows that announce certificates. */
export const announcedIn = (home: string) =>
  rowsOf(home).flatMap(({ named }, at) => (named === "core" ? [at + 1] : []));
