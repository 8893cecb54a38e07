/** What fsck makes of announced certificates. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { fsckVault } from "../../hsm/commands.ts";
import { genesisHash, rowHash } from "../../hsm/ledger-rows.ts";
import { announcedIn, issuingVault, rowsOf } from "./issuing-vault.ts";

type Row = ReturnType<typeof rowsOf>[number];
type Result = { readonly of: number; readonly hash?: string };

/** Writes the ledger anew, each row changed and chained to the one before it. */
function rewrite(home: string, change: (row: Row) => Row): void {
  using database = new DatabaseSync(join(home, "vault", "vault.db"));
  const update = database.prepare("UPDATE ledger SET body = ?, hash = ? WHERE sequence = ?");
  let hash: Uint8Array = genesisHash;
  for (const [at, row] of rowsOf(home).entries()) {
    const body = JSON.stringify(change(row));
    hash = rowHash(hash, at + 1, body);
    update.run(body, hash, at + 1);
  }
}

test.each([
  ["an announced row whose outcome does not", true, ({ of }: Result) => ({ of })],
  ["another whose outcome does", false, (result: Result) => ({ ...result, hash: "00" })],
])("fsck finds that a ledger says what was signed in one place, but for %s", async (...given) => {
  const [, isAnnounced, change] = given;
  await using house = await issuingVault();
  const { home } = house.vault;
  const leaf = house.leaf();
  await house.certify(leaf);
  await house.promise([leaf]);
  await house.complete(leaf);
  await house.stop();
  const before = rowsOf(home);
  const announced = announcedIn(home);
  const changed = (row: Row): Row => {
    if (row["type"] !== "outcomes") return row;
    const results = (row["results"] as readonly Result[]).map(({ hash, of, ...rest }) => {
      const result = { of, ...(hash !== undefined && { hash }) };
      const isMeant = announced.includes(of) === isAnnounced;
      return { ...rest, ...(isMeant ? change(result) : result) };
    });
    return { ...row, results };
  };
  rewrite(home, changed);
  const { findings } = await fsckVault({ home });
  const messages = findings.map(({ message }) => message);
  expect(messages).toContainEqual(expect.stringMatching(/do not say in one place/));
  expect(messages.every((message) => /do not say in one place/.test(message))).toBe(true);
  const rows = [...before];
  rewrite(home, () => rows.shift() ?? {});
});

test("fsck tells announced certificates from attempts that may have been begun", async () => {
  await using house = await issuingVault();
  const { home } = house.vault;
  await house.certify(house.leaf());
  const found = async (): Promise<string> =>
    (await fsckVault({ home })).findings.map(({ message }) => message).join();
  await expect
    .poll(found)
    .toMatch(/1 attempts have no outcome yet .*; 1 of them announced, and perhaps never begun/);
});
