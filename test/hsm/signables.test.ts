import { createHash, randomBytes, verify } from "node:crypto";
import { compactVerify, importSPKI } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Clock } from "../../core/clock.ts";
import { decodeUtf8, encodeBase64Url, encodeUtf8 } from "../../core/formats/encoding.ts";
import { emptyRoot } from "../../core/formats/merkle.ts";
import { formatPem } from "../../core/formats/pem.ts";
import { rootRole, snapshotRole, timestampRole, tufKey } from "../../core/formats/tuf.ts";
import { formatName } from "../../core/formats/x509.ts";
import { completeCertificate, sign, type Signable } from "../../events/hsm.ts";
import { fsckVault } from "../../hsm/commands.ts";
import { keyObject } from "../../hsm/public-key.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import { softVault, type SoftVault } from "../support/vault.ts";
import { type LeafChange, newLeaf, selfIssued, startedAt } from "./leaf.ts";

const issuerUrl = "http://localhost:8420/oidc";
const policy = "1.3.6.1.4.1.57264.2";
const now = startedAt;
const clock: Clock = { now: () => now };
let vault: SoftVault;
let installation: TestInstallation;

beforeAll(async () => {
  vault = await softVault({
    keys: [
      { label: "issuing-ca", purposes: ["certificate"], askers: ["issuer"], chain: selfIssued },
      { label: "tuf", purposes: ["tufRole"], askers: ["trust"], roles: ["snapshot", "timestamp"] },
      {
        label: "id-token",
        algorithm: "rsa-2048",
        purposes: ["idToken"],
        askers: ["idp"],
        issuer: issuerUrl,
      },
      {
        label: "log",
        purposes: ["scts", "signedEntryTimestamps", "treeHead"],
        askers: ["log"],
        origin: "o",
      },
      { label: "tsa", purposes: ["timestamp"], askers: ["timestamp"], policy, chain: selfIssued },
    ],
  });
  installation = await bootForTest({
    entries: [vault.entry],
    config: { hsm: vault.config },
    home: vault.home,
    pin: vault.pin,
    clock,
  });
});

test("a certificate signed without SCT list is the only one of its verdict and serial number", async () => {
  const bare = await softVault({
    keys: [
      { label: "issuing-ca", purposes: ["certificate"], askers: ["issuer"], chain: selfIssued },
    ],
    config: { bareCertificates: true },
  });
  const { config, home, pin, entry } = bare;
  const own = await bootForTest({ entries: [entry], config: { hsm: config }, home, pin, clock });
  const { pre, completion, verdict } = leafOf(bare.keys["issuing-ca"] ?? new Uint8Array(), {
    end: { kind: "none" },
  });
  const certified = async (tbs: Uint8Array) =>
    await own.ask(
      sign,
      { key: "issuing-ca", signable: { purpose: "certificate", tbs, verdict } },
      "issuer",
    );
  await certified(pre);
  await expect(certified(pre)).rejects.toMatchObject({ code: "guard-refused" });
  const completed = own.ask(
    completeCertificate,
    { key: "issuing-ca", logs: ["ct-log"], ...completion },
    "issuer",
  );
  await expect(completed).rejects.toMatchObject({ code: "guard-refused" });
  await own.dispose();
  bare.dispose();
});

afterAll(async () => {
  await installation.dispose();
  const { findings } = await fsckVault({ home: vault.home });
  expect(findings).toEqual([]);
  vault.dispose();
});

describe("certificates", () => {
  test("signs a precertificate once", async () => {
    const leaf = leafOf(vault.keys["issuing-ca"] ?? new Uint8Array());
    const [signature = new Uint8Array()] = await certify(leaf.pre, leaf);
    const key = keyObject(vault.keys["issuing-ca"] ?? new Uint8Array());
    expect(verify("sha256", leaf.pre, key, signature)).toBe(true);
    await expect(certify(leaf.pre, leaf)).rejects.toMatchObject({ code: "guard-refused" });
  });

  test("refuses a certificate whose SCT is not its own", async () => {
    const leaf = leafOf(vault.keys["issuing-ca"] ?? new Uint8Array());
    await expect(certify(leaf.final, leaf)).rejects.toMatchObject({ code: "purpose-refused" });
    await certify(leaf.pre, leaf);
    await expect(certify(leaf.final, leaf)).rejects.toMatchObject({ code: "purpose-refused" });
  });

  test.each([
    ["a seal that is not identity's", { mac: randomBytes(32) }, "purpose-refused"],
    ["a verdict from two minutes ago", { verifiedAtMs: -120_000 }, "purpose-refused"],
    ["a verdict from the future", { verifiedAtMs: 60_000 }, "purpose-refused"],
    ["a verdict for another key", { publicKeyHash: randomBytes(32) }, "purpose-refused"],
    ["a verdict about somebody else", { email: "other@example.com" }, "purpose-refused"],
    ["a verdict with another subject", { subject: "other" }, "purpose-refused"],
    ["a lifetime that is too long", { lifetimeSeconds: 601 }, "lint-refused"],
    ["a validity that began long ago", { notBeforeMs: -600_000 }, "lint-refused"],
    ["another issuer's name", { issuerName: formatName({ commonName: "x" }) }, "lint-refused"],
    ["another issuer's key identifier", { authorityKeyId: randomBytes(20) }, "lint-refused"],
    ["neither poison nor SCTs", { end: { kind: "none" } as const }, "lint-refused"],
  ])("refuses %s", async (_, change, code) => {
    const leaf = leafOf(vault.keys["issuing-ca"] ?? new Uint8Array(), change);
    await expect(certify(leaf.pre, leaf)).rejects.toMatchObject({ code });
  });
});

describe("TUF roles", () => {
  test("signs versions that grow, and the same bytes again", async () => {
    const first = await role(snapshot(1));
    const [signature = new Uint8Array()] = first.signatures;
    const key = keyObject(vault.keys["tuf"] ?? new Uint8Array());
    expect(verify("sha256", first.signed ?? new Uint8Array(), key, signature)).toBe(true);
    await role(snapshot(1));
    await role(snapshot(3));
    await role(timestamp(1));
  });

  test.each([
    ["an older version", () => snapshot(2), "guard-refused"],
    ["another text of the same version", () => snapshot(3, 6), "guard-refused"],
    ["a role that is another key's", () => root(), "purpose-refused"],
    ["an expiry too far ahead", () => snapshot(4, 401), "lint-refused"],
    ["an expiry in the past", () => snapshot(4, -1), "lint-refused"],
    ["an unknown member", () => ({ ...snapshot(4), extra: 1 }), "lint-refused"],
    ["an unknown role", () => ({ ...snapshot(4), _type: "mirrors" }), "lint-refused"],
  ])("refuses %s", async (_, make, code) => {
    await expect(role(make())).rejects.toMatchObject({ code });
  });

  test("never names an older version of another role than before", async () => {
    await role(snapshotRole({ version: 10, expires: daysAhead(5), targets: { version: 2 } }));
    await expect(role(snapshot(11))).rejects.toMatchObject({ code: "guard-refused" });
    await role(snapshotRole({ version: 11, expires: daysAhead(5), targets: { version: 2 } }));
    await role(timestampRole({ version: 10, expires: daysAhead(5), snapshot: { version: 11 } }));
    const back = timestampRole({ version: 11, expires: daysAhead(5), snapshot: { version: 10 } });
    await expect(role(back)).rejects.toMatchObject({ code: "guard-refused" });
  });
});

describe("ID tokens", () => {
  const claims = (change: object = {}) => ({
    iss: issuerUrl,
    sub: "s",
    aud: "sigstore",
    iat: seconds(),
    exp: seconds() + 600,
    ...change,
  });

  test("signs a token that jose verifies", async () => {
    const { signatures, signed } = await idToken(claims());
    const jws = `${decodeUtf8(signed ?? new Uint8Array())}.${encodeBase64Url(signatures[0] ?? new Uint8Array())}`;
    const pem = formatPem("PUBLIC KEY", vault.keys["id-token"] ?? new Uint8Array());
    const { payload, protectedHeader } = await compactVerify(jws, await importSPKI(pem, "RS256"));
    expect(JSON.parse(decodeUtf8(payload))).toMatchObject({ iss: issuerUrl, sub: "s" });
    expect(protectedHeader.alg).toBe("RS256");
  });

  test.each([
    ["another issuer", { iss: "https://accounts.example.com" }, "purpose-refused"],
    ["no subject", { sub: undefined }, "lint-refused"],
    ["no audience", { aud: "" }, "lint-refused"],
    ["a list of audiences", { aud: ["a", "b"] }, "lint-refused"],
    ["a time that is not now", { iat: 1_000, exp: 1_600 }, "lint-refused"],
    ["a lifetime over an hour", { exp: seconds() + 3_601 }, "lint-refused"],
    ["no expiry", { exp: undefined }, "lint-refused"],
  ])("refuses %s", async (_, change, code) => {
    await expect(idToken(claims(change))).rejects.toMatchObject({ code });
  });
});

describe("timestamps", () => {
  const ask = (change: object = {}) =>
    installation.ask(
      sign,
      {
        key: "tsa",
        signable: {
          purpose: "timestamp",
          hashAlgorithm: "sha256",
          messageImprint: createHash("sha256").update("x").digest(),
          policy,
          serial: Uint8Array.of(0x40, ...randomBytes(15)),
          genTimeMs: BigInt(now.getTime()),
          includeCertificate: true,
          ...change,
        },
      },
      "timestamp",
    );

  test("signs times that do not run back", async () => {
    const { signed } = await ask();
    expect(signed?.[0]).toBe(0x30);
    await ask();
    await expect(ask({ genTimeMs: BigInt(now.getTime()) - 1_000n })).rejects.toMatchObject({
      code: "guard-refused",
    });
  });

  test("refuses another policy, a serial number twice and a time that is not now", async () => {
    await expect(ask({ policy: "1.2.3" })).rejects.toMatchObject({ code: "purpose-refused" });
    const serial = Uint8Array.of(0x40, ...randomBytes(15));
    await ask({ serial });
    await expect(ask({ serial })).rejects.toMatchObject({ code: "guard-refused" });
    const later = BigInt(now.getTime()) + 60_000n;
    await expect(ask({ genTimeMs: later })).rejects.toMatchObject({ code: "lint-refused" });
  });
});

describe("logs", () => {
  const ahead = BigInt(now.getTime() + 60_000);
  const root = emptyRoot();
  const body = encodeUtf8("body");
  const certificate = { kind: "certificate" as const, certificate: body };

  const cases: readonly (readonly [string, Signable])[] = [
    ["an SCT", { purpose: "scts", entries: [{ ...certificate, timestampMs: ahead }] }],
    [
      "a tree head",
      { purpose: "treeHead", size: 0n, root, consistencyProof: [], timestampMs: ahead },
    ],
    [
      "an entry timestamp",
      {
        purpose: "signedEntryTimestamps",
        entries: [{ body, integratedTimeSeconds: ahead / 1_000n, index: 0n }],
      },
    ],
  ];

  test.each(cases)("refuses %s of the future", async (_, signable) => {
    await expect(installation.ask(sign, { key: "log", signable }, "log")).rejects.toMatchObject({
      code: "lint-refused",
    });
  });
});

/** A leaf of the time at which the clock stands. */
function leafOf(issuingKey: Uint8Array, change: LeafChange = {}) {
  return newLeaf(issuingKey, { atMs: now.getTime(), ...change });
}

async function certify(tbs: Uint8Array, { verdict }: ReturnType<typeof newLeaf>) {
  const signable = { purpose: "certificate" as const, tbs, verdict };
  return (await installation.ask(sign, { key: "issuing-ca", signable }, "issuer")).signatures;
}

async function role(signed: object) {
  const signable = { purpose: "tufRole" as const, role: JSON.stringify(signed) };
  return await installation.ask(sign, { key: "tuf", signable }, "trust");
}

async function idToken(claims: object) {
  const signable = { purpose: "idToken" as const, claims: JSON.stringify(claims) };
  return await installation.ask(sign, { key: "id-token", signable }, "idp");
}

function daysAhead(days: number): Date {
  return new Date(startedAt.getTime() + days * 86_400_000);
}

function snapshot(version: number, days = 5) {
  return snapshotRole({ version, expires: daysAhead(days), targets: { version: 1 } });
}

function timestamp(version: number) {
  return timestampRole({ version, expires: daysAhead(5), snapshot: { version: 1 } });
}

function root() {
  const key = tufKey(vault.keys["tuf"] ?? new Uint8Array());
  const one = { keyids: [key.keyid], threshold: 1 };
  const roles = { root: one, targets: one, snapshot: one, timestamp: one };
  return rootRole({ version: 1, expires: daysAhead(5), keys: [key], roles });
}

function seconds(): number {
  return Math.floor(startedAt.getTime() / 1_000);
}
