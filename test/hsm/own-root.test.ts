/** A CA that is its own root is followed by another: the vault writes and signs its certificate, for an operator, once and on record. */
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { formatPem } from "../../core/formats/pem.ts";
import { formatName, parseCertificate } from "../../core/formats/x509.ts";
import type { QuestionOf } from "../../events/contract.ts";
import { certifySelf, describeKey, generateKey, listOwnRoots } from "../../events/hsm.ts";
import { authorityExtensions } from "../../hsm/ceremony/profiles.ts";
import { fsckVault } from "../../hsm/commands.ts";
import { formatKeyring, parseKeyring, type VaultKey } from "../../hsm/keyring.ts";
import { certificate, softKey } from "../crypto/soft-authority.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import { type FaultModule, faultModule } from "../support/fault-module.ts";
import "../support/matchers.ts";
import { type SoftVault, softVault } from "../support/vault.ts";

const term = { notBefore: new Date(Date.now() - 1_000), notAfter: new Date(Date.now() + 1e10) };
/** The vault does not look at its signature: it is in the keyring since a ceremony. */
const ownRoot = (publicKey: Uint8Array, commonName = "first"): Uint8Array => {
  const name = formatName({ organization: "test", commonName });
  const extensions = authorityExtensions("single", { subject: publicKey, issuer: publicKey });
  return certificate(softKey(), "ecdsa-sha256", {
    ...term,
    issuer: name,
    subject: name,
    publicKey,
    extensions: [...extensions],
  });
};
const question: QuestionOf<typeof certifySelf> = {
  key: "issuing-ca-2",
  organization: "test",
  commonName: "second",
  serial: Uint8Array.of(0x40, ...Buffer.alloc(19, 7)),
  notBeforeMs: BigInt(Math.floor(Date.now() / 1_000) * 1_000),
  notAfterMs: BigInt(Math.floor(Date.now() / 1_000 + 3e8) * 1_000),
};

let faults: FaultModule;
let vault: SoftVault;
let house: TestInstallation;

const start = async (): Promise<void> => {
  house = await bootForTest({
    entries: [vault.entry],
    config: { hsm: vault.config },
    home: vault.home,
    pin: vault.pin,
  });
};
beforeAll(() => {
  faults = faultModule();
});
beforeEach(async () => {
  const issues = { purposes: ["certificate" as const], askers: ["issuer" as const] };
  const chain = (publicKey: Uint8Array) => [ownRoot(publicKey)];
  const ct = { label: "ct-log", purposes: ["checkpoint" as const], askers: ["log"] };
  vault = await softVault({
    module: faults.path,
    keys: [
      { ...issues, label: "issuing-ca", chain },
      { ...ct, origin: "localhost", noteName: "localhost" },
    ],
  });
  await start();
  await house.ask(
    generateKey,
    { label: "issuing-ca-2", algorithm: "ecdsa-p384", ...issues },
    "operator",
  );
});
afterEach(async () => {
  faults.inject();
  await house.dispose();
  vault.dispose();
});

const path = () => join(vault.home, "vault", "keyring.json");
const certify = async (more: Partial<typeof question> = {}, asker = "operator") =>
  (await house.ask(certifySelf, { ...question, ...more }, asker)).certificate;
const ledger = () => {
  using database = new DatabaseSync(join(vault.home, "vault", "vault.db"), { readOnly: true });
  const rows = database.prepare("SELECT body FROM ledger ORDER BY sequence").all();
  return rows.map((row) => JSON.parse(String(row["body"])) as { [name: string]: unknown });
};

test("openssl takes it for its own root; asked again, also after a restart, it is the same", async () => {
  const made = await certify();
  const file = join(vault.home, "own.pem");
  writeFileSync(file, formatPem("CERTIFICATE", made));
  execFileSync("openssl", ["verify", "-x509_strict", "-CAfile", file, file], { stdio: "ignore" });
  expect(new X509Certificate(made)).toMatchObject({
    subject: "O=test\nCN=second",
    issuer: "O=test\nCN=second",
    ca: true,
  });
  for (const again of [false, true]) {
    if (again) await house.dispose().then(start);
    expect(await certify()).toEqual(made);
    expect((await house.ask(describeKey, { key: "issuing-ca-2" })).chain).toEqual([made]);
    const first = vault.keyring.keys[0]?.chain?.[0];
    expect((await house.ask(listOwnRoots, {})).certificates).toEqual([first, made]);
  }
  const told = ledger().flatMap(({ type, phase, operation, purpose, asker }) =>
    operation === "certifySelf" || purpose === "ownRoot" ? [[type, phase, asker]] : [],
  );
  expect(told).toEqual([
    ["operation", "announced", "operator"],
    ["intent", undefined, "operator"],
    ["operation", "done", "operator"],
  ]);
  await house.dispose();
  expect((await fsckVault({ home: vault.home })).findings).toEqual([]);
});

test("killed before the keyring had it, the vault signs the same certificate once more", async () => {
  const before = readFileSync(path(), "utf8");
  const made = await certify();
  await house.dispose();
  writeFileSync(path(), before);
  await start();
  const again = await certify();
  expect(parseCertificate(again).tbs).toEqual(parseCertificate(made).tbs);
  await house.dispose();
  expect((await fsckVault({ home: vault.home })).findings).toEqual([]);
});

test.for([
  ["somebody else", {}, "issuer", "access-denied"],
  ["a key that is none", { key: "nobody" }, "operator", "operation-refused"],
  ["a log's key", { key: "ct-log" }, "operator", "operation-refused"],
  ["a key with a certificate", { key: "issuing-ca" }, "operator", "operation-refused"],
  ["the name of another CA", { commonName: "first" }, "operator", "operation-refused"],
  ["an end before its beginning", { notAfterMs: 0n }, "operator", "operation-refused"],
  ["a term without end", { notAfterMs: 2n ** 62n }, "operator", "operation-refused"],
] as const)("%s is refused, on record, and nothing changes", async ([, more, asker, code]) => {
  const before = readFileSync(path(), "utf8");
  await expect(certify(more, asker)).toFailWith(code);
  expect(readFileSync(path(), "utf8")).toBe(before);
  expect(ledger().at(-1)).toMatchObject({ type: "refusal", purpose: "certifySelf", code, asker });
  expect(ledger().some(({ purpose, type }) => type === "intent" && purpose === "ownRoot")).toBe(
    false,
  );
});

test("a key that gave a bad signature is in quarantine, for this as for everything else", async () => {
  faults.inject("C_Sign flip *");
  await expect(certify()).toFailWith("key-unavailable");
  faults.inject();
  const attempts = () =>
    ledger().filter(({ purpose, type }) => type === "intent" && purpose === "ownRoot");
  const before = attempts().length;
  await expect(certify()).rejects.toThrow("does not verify; it is not used until");
  expect(attempts()).toHaveLength(before);
  expect(house.health()["hsm"]).toMatchObject({ status: "failed" });
});

test.for<readonly [string, Partial<VaultKey>]>([
  ["is retired", { retired: true }],
  ["signs other things too", { purposes: ["certificate", "timestamp"] }],
  ["is a log's", { origin: "localhost/2", noteName: "localhost" }],
])("a key that %s does not become a CA", async ([, more]) => {
  await house.dispose();
  const keyring = parseKeyring(readFileSync(path(), "utf8"));
  const keys = keyring.keys.map((key) =>
    key.label === "issuing-ca-2" ? { ...key, ...more } : key,
  );
  writeFileSync(path(), formatKeyring({ ...keyring, keys }));
  await start();
  await expect(certify()).toFailWith("operation-refused");
  expect((await house.ask(describeKey, { key: "issuing-ca-2" })).chain).toBeUndefined();
});

test("where a CA has a root above it, none is its own", async () => {
  await house.dispose();
  const keyring = parseKeyring(readFileSync(path(), "utf8"));
  const root = ownRoot(softKey().spki, "root");
  const keys = keyring.keys.map((key) =>
    key.label === "issuing-ca" ? { ...key, chain: [...(key.chain ?? []), root] } : key,
  );
  writeFileSync(path(), formatKeyring({ ...keyring, keys }));
  await start();
  await expect(certify()).toFailWith("operation-refused");
  expect((await house.ask(listOwnRoots, {})).certificates).toEqual([]);
});
