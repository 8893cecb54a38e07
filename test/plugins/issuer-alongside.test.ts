/** Several CAs at once, of every kind of key, and certificates without SCT list: issuer, ct, log and the vault on a SoftHSM token. */
import { randomBytes, X509Certificate } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { formatName } from "../../core/formats/x509.ts";
import { issueCertificate, trustBundle } from "../../events/issuer.ts";
import { authorityExtensions } from "../../hsm/ceremony/profiles.ts";
import { fsckVault } from "../../hsm/commands.ts";
import ct from "../../plugins/ct/plugin.ts";
import issuer from "../../plugins/issuer/plugin.ts";
import log from "../../plugins/log/plugin.ts";
import {
  basicConstraints,
  certificate,
  certSign,
  softKey,
  subjectKeyId,
} from "../crypto/soft-authority.ts";
import { believer } from "../support/believer.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import "../support/matchers.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { demoKeys, type SoftKey, type SoftVault, softVault } from "../support/vault.ts";
import { key, prove } from "./issuer-house.ts";
import { principal } from "./issuer-rooms.ts";

const rootKey = softKey("P-384");
const rootName = formatName({ commonName: "test root" });
const year = 365 * 86_400_000;
const validity = { notBefore: new Date(Date.now() - year), notAfter: new Date(Date.now() + year) };
const root = certificate(rootKey, "ecdsa-sha384", {
  ...validity,
  issuer: rootName,
  subject: rootName,
  publicKey: rootKey.spki,
  extensions: [certSign, basicConstraints(null), subjectKeyId(rootKey.spki)],
});
const authority = (label: string, algorithm: NonNullable<SoftKey["algorithm"]>): SoftKey => ({
  label,
  algorithm,
  purposes: ["certificate"],
  askers: ["issuer"],
  chain: (publicKey) => [
    certificate(rootKey, "ecdsa-sha384", {
      ...validity,
      issuer: rootName,
      subject: formatName({ commonName: label }),
      publicKey,
      extensions: [...authorityExtensions("issuing", { subject: publicKey, issuer: rootKey.spki })],
    }),
    root,
  ],
});

let vault: SoftVault;
let house: TestInstallation | undefined;
/** One for all: the vault would not sign for a log that has forgotten. */
const storage = memoryStorage();

beforeAll(async () => {
  vault = await softVault({
    keys: [
      ...demoKeys.filter(({ label }) => label === "ct-log"),
      authority("issuing-ca", "ecdsa-p256"),
      authority("issuing-ca-2", "ecdsa-p384"),
      authority("issuing-ca-3", "rsa-2048"),
    ],
  });
});
afterEach(async () => await house?.dispose());
afterAll(() => vault.dispose());

async function start(config: object, hsm: object = {}): Promise<TestInstallation> {
  house = await bootForTest({
    entries: [issuer, ct, log, believer(principal), vault.entry],
    config: {
      hsm: { ...vault.config, ...hsm },
      issuer: config,
      log: { logs: [{ name: "ct", format: "rfc6962", key: "ct-log" }] },
    },
    storage,
    home: vault.home,
    pin: vault.pin,
  });
  return house;
}

async function issue(installation: TestInstallation) {
  const idToken = randomBytes(8).toString("hex");
  const { chain, detachedSct } = await installation.ask(issueCertificate, {
    idToken,
    proof: prove(key),
  });
  const [leaf, above] = chain.map((der) => new X509Certificate(der));
  expect(above && leaf?.verify(above.publicKey)).toBe(true);
  return { by: leaf?.issuer.replace("CN=", ""), detachedSct };
}

const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();

test("each CA whose window is open takes its turn, and all are in the trust bundle", async () => {
  const installation = await start({
    alongside: [{ key: "issuing-ca-2", from: inMs(-60_000) }, { key: "issuing-ca-3" }],
  });
  const all = [];
  for (let at = 0; at < 6; at++) all.push((await issue(installation)).by);
  expect(all.slice(0, 3).map(String).toSorted()).toEqual([
    "issuing-ca",
    "issuing-ca-2",
    "issuing-ca-3",
  ]);
  expect(all.slice(3)).toEqual(all.slice(0, 3));
  const { chains } = await installation.ask(trustBundle, {});
  expect(chains).toEqual(vault.keyring.keys.slice(1).map(({ chain }) => chain));
});

test.for<[string, object]>([
  ["begins later", { from: inMs(60_000) }],
  ["would end before its certificate", { until: inMs(540_000) }],
])("a CA whose window %s issues nothing", async ([, window]) => {
  const installation = await start({ alongside: [{ key: "issuing-ca-2", ...window }] });
  for (let at = 0; at < 3; at++) expect((await issue(installation)).by).toBe("issuing-ca");
});

test("a CA whose window just holds a certificate issues it", async () => {
  const window = { from: inMs(-5_000), until: inMs(630_000) };
  const installation = await start({ alongside: [{ key: "issuing-ca-2", ...window }] });
  const both = [await issue(installation), await issue(installation)];
  expect(both.map(({ by }) => String(by)).toSorted()).toEqual(["issuing-ca", "issuing-ca-2"]);
});

test("a CA without chain in the vault keeps the issuer from starting", async () => {
  await expect(start({ alongside: [{ key: "ct-log" }] })).rejects.toThrow(/binds no chain/);
  house = undefined;
});

test("the vault signs certificates without SCT list where it is told to, once a verdict", async () => {
  const installation = await start({ scts: "detached" }, { bareCertificates: true });
  expect((await issue(installation)).detachedSct?.signature.length).toBeGreaterThan(60);
  await installation.dispose();
  expect((await fsckVault({ home: vault.home })).findings).toEqual([]);
});

test("the vault signs none where it is not", async () => {
  const installation = await start({ scts: "detached" });
  await expect(issue(installation)).toFailWith("lint-refused");
});
