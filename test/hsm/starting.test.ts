import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PinRefused } from "../../core/plugin.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { lastSigned, sign } from "../../events/hsm.ts";
import { fsckVault } from "../../hsm/commands.ts";
import { formatKeyring } from "../../hsm/keyring.ts";
import { Module } from "../../hsm/pkcs11.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import { faultModule } from "../support/fault-module.ts";
import { softHsmModule, softVault, type SoftVault } from "../support/vault.ts";

let vault: SoftVault;
const root = leafHash(encodeUtf8("a"));

beforeEach(async () => {
  vault = await softVault({
    keys: [
      {
        label: "ct-log",
        purposes: ["scts", "checkpoint"],
        askers: ["log"],
        origin: "o",
        noteName: "o",
      },
    ],
  });
});

afterEach(() => vault.dispose());

test("remembers across a restart what it signed", async () => {
  {
    await using installation = await boot();
    await checkpoint(installation, 1n);
  }
  await using again = await boot();
  expect(await again.ask(lastSigned, { key: "ct-log" }, "log")).toMatchObject({ size: 1n });
  await expect(checkpoint(again, 0n)).rejects.toMatchObject({ code: "guard-refused" });
});

test.each([
  ["the ledger's last rows are gone", "DELETE FROM ledger WHERE sequence > 3", /is not in row/],
  ["the guard's last tree is gone", "DELETE FROM heads", /does not know the tree/],
  ["the guard's tree is another", "UPDATE heads SET size = 0", /is not in row/],
  [
    "a role is newer than the ledger",
    "INSERT INTO roles VALUES ('tuf', 'snapshot', 9, x'00', 1000)",
    /newer than the ledger's last row/,
  ],
])("refuses a state of which %s", async (_, change, why) => {
  {
    await using installation = await boot();
    await checkpoint(installation, 1n);
  }
  {
    using state = new DatabaseSync(join(vault.home, "vault/vault.db"));
    state.exec(change);
  }
  await expect(boot()).rejects.toThrow(why);
});

test("tries a wrong PIN once, and the right one works afterwards", async () => {
  await expect(boot("wrong pin of twenty chars")).rejects.toThrow(PinRefused);
  const { label, serial } = vault.keyring.token;
  expect(new Module(softHsmModule).device(label, serial).pinCountLow).toBe(true);
  await using installation = await boot();
  await checkpoint(installation, 1n);
});

test("refuses a second vault on the same state", async () => {
  await using first = await boot();
  await expect(boot()).rejects.toThrow(/another vault holds .*vault\.lock/);
  await checkpoint(first, 1n);
});

test("refuses to start without its state", async () => {
  renameSync(join(vault.home, "vault/vault.db"), join(vault.home, "vault/vault.db.away"));
  await expect(boot()).rejects.toThrow(/vault\.db is missing/);
});

test("refuses the state of another token", async () => {
  const other = await softVault({ keys: [{ label: "x", purposes: ["scts"], askers: ["log"] }] });
  renameSync(join(other.home, "vault/vault.db"), join(vault.home, "vault/vault.db"));
  await expect(boot()).rejects.toThrow(/belongs to the token with serial number/);
  other.dispose();
});

test("refuses a token that is not there", async () => {
  rewriteKeyring((text) => text.replace(vault.keyring.token.serial, "0000000000000000"));
  using state = new DatabaseSync(join(vault.home, "vault/vault.db"));
  state.exec("UPDATE meta SET value = '0000000000000000' WHERE name = 'tokenSerial'");
  await expect(boot()).rejects.toThrow(/there is no token/);
});

test("refuses a key that is another than the pinned one", async () => {
  const other = await softVault({ keys: [{ label: "x", purposes: ["scts"], askers: ["log"] }] });
  const [own] = vault.keyring.keys;
  const [foreign] = other.keyring.keys;
  if (!own || !foreign) throw new Error("no keys");
  const { publicKey, publicKeySha256 } = foreign;
  const keys = [{ ...own, publicKey, publicKeySha256 }];
  rewriteKeyring(() => formatKeyring({ ...vault.keyring, keys }));
  await expect(boot()).rejects.toThrow(/is another key than the one in the keyring/);
  other.dispose();
});

test("refuses a key that is not there, and one that is there twice", async () => {
  const { token, keys } = vault.keyring;
  const [own] = keys;
  if (!own) throw new Error("no key");
  rewriteKeyring(() =>
    formatKeyring({ token, version: 1, keys: [{ ...own, id: encodeUtf8("absent") }] }),
  );
  await expect(boot()).rejects.toThrow(/holds 0 private keys .* nothing is generated/);
  rewriteKeyring(() => formatKeyring(vault.keyring));
  const module = new Module(softHsmModule);
  const session = module.openSession(module.device(token.label, token.serial).slot, "write");
  module.login(session, vault.pinText);
  module.generate(session, { algorithm: "ecdsa-p256", label: "ct-log", id: own.id });
  module.closeSession(session);
  await expect(boot()).rejects.toThrow(/holds 2 private keys/);
});

test.each([
  ["an unknown member", (text: string) => text.replace('"version": 1', '"version": 1, "extra": 1')],
  [
    "a hash that is not its key's",
    (text: string) => text.replace(/("publicKeySha256": ")../, "$1zz"),
  ],
  ["an unknown purpose", (text: string) => text.replace('"scts"', '"anything"')],
  ["no JSON", () => "{"],
])("refuses a keyring with %s", async (_, change) => {
  rewriteKeyring(change);
  await expect(boot()).rejects.toThrow(/the keyring/);
});

test("refuses a ledger whose rows do not follow from each other, and fsck says which", async () => {
  {
    await using installation = await boot();
    await checkpoint(installation, 1n);
  }
  using state = new DatabaseSync(join(vault.home, "vault/vault.db"));
  state.exec(
    `UPDATE ledger SET body = replace(body, '"asker":"log"', '"asker":"lag"') WHERE sequence > 1`,
  );
  const { findings } = await fsckVault({ home: vault.home });
  expect(findings.filter(({ severity }) => severity === "broken").length).toBeGreaterThan(0);
  await expect(boot()).rejects.toThrow(/does not follow from the one before it/);
});

test("finds a guard that was set back", async () => {
  {
    await using installation = await boot();
    await checkpoint(installation, 1n);
  }
  using state = new DatabaseSync(join(vault.home, "vault/vault.db"));
  state.exec("UPDATE heads SET size = 0");
  const { findings } = await fsckVault({ home: vault.home });
  expect(findings[0]?.message).toMatch(/the guard's tree of ct-log \(size 0\) is not the last one/);
});

test("calls unknown-signed what a killed vault had begun, and holds its lock until then", async () => {
  const { child, signing } = await hangingChild(0);
  await signing;
  await expect(boot()).rejects.toThrow(/another vault holds/);
  const found = async () =>
    (await fsckVault({ home: vault.home })).findings.map(({ message }) => message).join();
  await expect.poll(found).toMatch(/1 attempts have no outcome/);
  child.kill("SIGKILL");
  await once(child, "exit");
  {
    await using installation = await boot();
    await checkpoint(installation, 1n);
  }
  const { findings } = await fsckVault({ home: vault.home });
  expect(findings).toEqual([
    { severity: "notice", message: expect.stringMatching(/1 attempts are unknown-signed/) },
  ]);
});

test.each(["sync", "async"])(
  "ends itself when a %s call into the device never returns",
  async (mode) => {
    const { child, signing } = await hangingChild(600, mode);
    const exited = once(child, "exit");
    await signing;
    expect(await exited).toEqual([null, "SIGKILL"]);
  },
);

async function boot(pin = vault.pinText): Promise<TestInstallation> {
  return await bootForTest({
    entries: [vault.entry],
    config: { hsm: vault.config },
    home: vault.home,
    pin: async () => await Promise.resolve(pin),
  });
}

async function checkpoint(installation: TestInstallation, size: bigint): Promise<void> {
  const signable = { purpose: "checkpoint" as const, size, root, consistencyProof: [] };
  await installation.ask(sign, { key: "ct-log", signable }, "log");
}

function rewriteKeyring(change: (text: string) => string): void {
  const path = join(vault.home, "vault/keyring.json");
  writeFileSync(path, change(readFileSync(path, "utf8")));
}

/** A vault in another process whose next C_Sign hangs; `signing` resolves once it does. */
async function hangingChild(
  hangLimitMs: number,
  mode = "sync",
): Promise<{ child: ChildProcess; signing: Promise<void> }> {
  const faults = faultModule();
  const config = { ...vault.config, module: faults.path, signing: mode, hangLimitMs };
  const argument = JSON.stringify({ home: vault.home, pin: vault.pinText, config });
  const script = new URL("./vault-child.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, argument], {
    env: { ...process.env, ...faults.environment, SOFTHSM2_CONF: vault.conf },
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  if (child.stdout) await once(child.stdout, "data");
  const signing = (async () => {
    faults.inject("C_Sign hang *");
    child.send("sign");
    await sleep(300);
  })();
  return { child, signing };
}
