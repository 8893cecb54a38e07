/** Issuer, ct, log and the vault itself, on a SoftHSM token: what the rooms promise each other, they keep. */
import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import * as der from "../../core/formats/der.ts";
import { verifyInclusion } from "../../core/formats/merkle.ts";
import { withoutSctList } from "../../core/formats/leaf-profile.ts";
import {
  merkleTreeLeaf,
  parseDigitallySigned,
  parseSctList,
  sctSignatureInput,
  treeHeadSignatureInput,
} from "../../core/formats/sct.ts";
import {
  extensionOids,
  findExtension,
  formatName,
  parseCertificate,
} from "../../core/formats/x509.ts";
import { getEntries, getProofByHash, getSth } from "../../events/ct.ts";
import { issueCertificate } from "../../events/issuer.ts";
import ct from "../../plugins/ct/plugin.ts";
import issuer from "../../plugins/issuer/plugin.ts";
import log from "../../plugins/log/plugin.ts";
import {
  basicConstraints,
  certificate,
  certSign,
  codeSigning,
  softKey,
  subjectKeyId,
} from "../crypto/soft-authority.ts";
import { believer } from "../support/believer.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import { demoKeys, type SoftVault, softVault } from "../support/vault.ts";
import { key, prove } from "./issuer-house.ts";
import { principal } from "./issuer-rooms.ts";

const rootKey = softKey("P-384");
const rootName = formatName({ commonName: "test root" });
const year = 365 * 86_400_000;
const validity = {
  notBefore: new Date(Date.now() - year),
  notAfter: new Date(Date.now() + year),
};
const root = certificate(rootKey, "ecdsa-sha384", {
  ...validity,
  issuer: rootName,
  subject: rootName,
  publicKey: rootKey.spki,
  extensions: [certSign, basicConstraints(null), subjectKeyId(rootKey.spki)],
});

function issuingChain(publicKey: Uint8Array): Uint8Array[] {
  const issuing = certificate(rootKey, "ecdsa-sha384", {
    ...validity,
    issuer: rootName,
    subject: formatName({ commonName: "test issuing CA" }),
    publicKey,
    extensions: [certSign, codeSigning, basicConstraints(0n), subjectKeyId(publicKey)],
  });
  return [issuing, root];
}

const identity = believer(principal);

let vault: SoftVault;
let installation: TestInstallation;

beforeAll(async () => {
  const issuingCa = {
    label: "issuing-ca",
    purposes: ["certificate" as const],
    askers: ["issuer"],
    chain: issuingChain,
  };
  const keys = demoKeys.filter(({ label }) => label === "ct-log");
  vault = await softVault({ keys: [...keys, issuingCa] });
  installation = await bootForTest({
    entries: [issuer, ct, log, identity, vault.entry],
    config: {
      hsm: vault.config,
      log: { logs: [{ name: "ct", format: "rfc6962", key: "ct-log" }] },
    },
    home: vault.home,
    pin: vault.pin,
  });
});

afterAll(async () => {
  await installation.dispose();
  vault.dispose();
});

async function issue(idToken: string): Promise<Uint8Array> {
  const { chain } = await installation.ask(issueCertificate, { idToken, proof: prove(key) });
  return chain[0] ?? new Uint8Array();
}

test("a certificate is issued, its SCT verifies, and the log proves that it holds the entry", async () => {
  const leaf = parseCertificate(await issue("first"));
  const issuing = new X509Certificate(vault.keyring.keys[1]?.chain?.[0] ?? new Uint8Array());
  expect(new X509Certificate(leaf.der).verify(issuing.publicKey)).toBe(true);

  const extension = findExtension(leaf, extensionOids.sctList);
  const list = der.readOctetString(der.readDer(extension?.value ?? new Uint8Array()));
  const [sct] = parseSctList(list);
  const entry = {
    kind: "precertificate" as const,
    timestampMs: sct?.timestampMs ?? 0n,
    issuerKeyHash: sha256(vault.keys["issuing-ca"] ?? new Uint8Array()),
    tbs: withoutSctList(leaf.tbs),
  };
  const logKey = importPublicKey(vault.keys["ct-log"] ?? new Uint8Array());
  const { signature } = parseDigitallySigned(sct?.signature ?? new Uint8Array());
  expect(verifySignature(logKey, sctSignatureInput(entry), signature)).toBe(true);

  const sth = await installation.ask(getSth, { log: "ct" });
  const signedHead = parseDigitallySigned(sth.signature).signature;
  expect(verifySignature(logKey, treeHeadSignatureInput(sth), signedHead)).toBe(true);
  const leafHash = sha256(Uint8Array.of(0, ...merkleTreeLeaf(entry)));
  const proof = await installation.ask(getProofByHash, {
    log: "ct",
    hash: leafHash,
    treeSize: sth.size,
  });
  const { size, root: treeRoot } = sth;
  const { leafIndex: index, auditPath } = proof;
  expect(verifyInclusion({ index, size, leafHash, root: treeRoot, proof: auditPath })).toBe(true);
  const { entries } = await installation.ask(getEntries, { log: "ct", start: index, end: index });
  expect(entries[0]?.leafInput).toEqual(merkleTreeLeaf(entry));
});

test("sixty-four at once", async () => {
  const tokens = Array.from({ length: 64 }, (_, at) => `token ${at}`);
  const leaves = await Promise.all(tokens.map(issue));
  expect(new Set(leaves.map((leaf) => new X509Certificate(leaf).serialNumber)).size).toBe(64);
});
