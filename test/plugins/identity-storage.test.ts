/** The store of used tokens: made when the configuration comes to want it, kept over restarts, and nothing else is made with it. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { openStorage } from "../../config/load.ts";
import { addTokenStorage } from "../../config/storage.ts";
import { createUseOnce } from "../../plugins/identity/one-time.ts";

const home = mkdtempSync(join(tmpdir(), "chancery-tokens-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));
mkdirSync(join(home, "data"));

const configure = (oneTime: boolean) =>
  writeFileSync(
    join(home, "config.yaml"),
    `identity:\n  issuers:\n    - issuerUrl: https://idp.example\n      provider: email\n      oneTime: ${String(oneTime)}\nlog:\n  logs: []\n`,
  );
const databases = () => readdirSync(join(home, "data")).filter((name) => name.endsWith(".db"));

it("is there when it is wanted, and remembers", async () => {
  configure(false);
  await addTokenStorage(home);
  expect(databases()).toEqual([]);
  configure(true);
  await addTokenStorage(home);
  expect(databases()).toEqual(["identity-tokens.db"]);
  const shape = { tables: ["used", "expiring", "cursors"], streams: ["facts"] };
  const use = async (jti: string, nowS: number) => {
    await using storage = await openStorage(home);
    const partition = await storage.open("identity-tokens", shape);
    await using _closing = partition;
    await createUseOnce(partition)("https://idp.example", { jti, exp: 1_000 }, nowS * 1_000);
    return await partition.scan("used", { limit: 10 });
  };
  expect(await use("a", 900)).toHaveLength(1);
  await addTokenStorage(home);
  await expect(use("a", 950)).rejects.toThrow("used before");
  // Rows go when no skew that can be configured makes their token valid any more.
  expect(await use("b", 1_119)).toHaveLength(2);
  expect(await use("c", 1_121)).toHaveLength(1);
});
