/** Another CA is put into use while certificates are issued: issuer, ct, log and the vault itself, on a SoftHSM token. */
import { randomBytes, X509Certificate } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { formatName } from "../../core/formats/x509.ts";
import type { StorageDriver } from "../../core/storage.ts";
import { addChain, getRoots } from "../../events/ct.ts";
import { bindChain, generateKey } from "../../events/hsm.ts";
import { activateIssuer, issueCertificate, trustBundle } from "../../events/issuer.ts";
import { authorityExtensions } from "../../hsm/ceremony/profiles.ts";
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
import { demoKeys, type SoftVault, softVault } from "../support/vault.ts";
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
const chainOf = (commonName: string, publicKey: Uint8Array, term = validity): Uint8Array[] => [
  certificate(rootKey, "ecdsa-sha384", {
    ...term,
    issuer: rootName,
    subject: formatName({ commonName }),
    publicKey,
    extensions: [...authorityExtensions("issuing", { subject: publicKey, issuer: rootKey.spki })],
  }),
  root,
];

const identity = believer(principal);

let vault: SoftVault;
let storage: StorageDriver;
let house: TestInstallation;

beforeEach(async () => {
  const issuingCa = {
    label: "issuing-ca",
    purposes: ["certificate" as const],
    askers: ["issuer"],
    chain: (publicKey: Uint8Array) => chainOf("first", publicKey),
  };
  const keys = demoKeys.filter(({ label }) => label === "ct-log");
  vault = await softVault({ keys: [...keys, issuingCa] });
  storage = memoryStorage();
  house = await start();
});
afterEach(async () => {
  await house.dispose();
  vault.dispose();
});

const start = async (configuredKey = "issuing-ca") =>
  await bootForTest({
    entries: [issuer, ct, log, identity, vault.entry],
    config: {
      hsm: vault.config,
      issuer: { key: configuredKey },
      log: { logs: [{ name: "ct", format: "rfc6962", key: "ct-log" }] },
    },
    storage,
    home: vault.home,
    pin: vault.pin,
  });
const restart = async (configuredKey?: string) => {
  await house.dispose();
  house = await start(configuredKey);
};
const issue = async (): Promise<string | undefined> => {
  const { chain } = await house.ask(issueCertificate, {
    idToken: randomBytes(8).toString("hex"),
    proof: prove(key),
  });
  const [leaf, above] = chain.map((der) => new X509Certificate(der));
  // Whichever it is, it is the one that the answer's chain ends with.
  expect(above && leaf?.verify(above.publicKey)).toBe(true);
  return leaf?.issuer.replace("CN=", "");
};
const activate = async (label: string, asker = "operator") =>
  await house.ask(activateIssuer, { key: label }, asker);
const prepare = async (label = "issuing-ca-2", term = validity) => {
  const { publicKey } = await house.ask(
    generateKey,
    { label, algorithm: "ecdsa-p256", purposes: ["certificate"], askers: ["issuer"] },
    "operator",
  );
  const chain = chainOf(label, publicKey, term);
  await house.ask(bindChain, { key: label, chain }, "operator");
  return chain;
};

test("no request is lost, each is answered by the one CA or the other, and it stays so", async () => {
  const chain = await prepare();
  const issuers: (string | undefined)[] = [];
  let over = false;
  const lanes = Array.from({ length: 8 }, async (): Promise<void> => {
    while (!over || issuers.length < 100) issuers.push(await issue());
  });
  while (issuers.length < 20) await new Promise((resolve) => setTimeout(resolve, 2));
  const { activatedAtMs } = await activate("issuing-ca-2");
  over = true;
  await Promise.all(lanes);
  expect(new Set(issuers)).toEqual(new Set(["first", "issuing-ca-2"]));
  expect(await activate("issuing-ca-2")).toMatchObject({ activatedAtMs });
  for (const again of [false, true]) {
    if (again) await restart();
    expect(await issue()).toBe("issuing-ca-2");
    const { chains } = await house.ask(trustBundle, {});
    expect(chains).toEqual([chain, vault.keyring.keys[1]?.chain]);
    expect((await house.ask(getRoots, { log: "ct" })).certificates).toEqual([root]);
  }
  expect(await activate("issuing-ca-2")).toMatchObject({ activatedAtMs });
});

test("a certificate of the CA before it is logged as ever", async () => {
  const { chain } = await house.ask(issueCertificate, { idToken: "before", proof: prove(key) });
  await prepare();
  await activate("issuing-ca-2");
  await house.ask(addChain, { chain });
  await house.ask(addChain, { chain: chain.slice(0, -1) });
});

test("one that is configured later counts more than what was put into use before", async () => {
  await prepare();
  await activate("issuing-ca-2");
  await prepare("issuing-ca-3");
  await restart("issuing-ca-3");
  expect(await issue()).toBe("issuing-ca-3");
});

test.for([
  ["has no key", async (): Promise<void> => {}],
  [
    "has no certificate",
    async () => {
      await house.ask(
        generateKey,
        {
          label: "issuing-ca-2",
          algorithm: "ecdsa-p256",
          purposes: ["certificate"],
          askers: ["issuer"],
        },
        "operator",
      );
    },
  ],
  [
    "is not valid yet",
    async () => {
      await prepare("issuing-ca-2", {
        notBefore: new Date(Date.now() + 60_000),
        notAfter: validity.notAfter,
      });
    },
  ],
  [
    "ends before its first certificate would",
    async () => {
      await prepare("issuing-ca-2", {
        notBefore: validity.notBefore,
        notAfter: new Date(Date.now() + 599_000),
      });
    },
  ],
] as const)("one that %s is not put into use", async ([, given]) => {
  await given();
  await expect(activate("issuing-ca-2")).toFailWith("operation-refused");
  expect(await issue()).toBe("first");
});

test.for(["http", "ct", "test"])("none is put into use for %s", async (asker) => {
  await prepare();
  await expect(activate("issuing-ca-2", asker)).toFailWith("access-denied");
  expect(await issue()).toBe("first");
});
