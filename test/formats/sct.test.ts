import { readFileSync } from "node:fs";
import { fc, test as property } from "../support/fixed-draws.ts";
import { describe, expect, test } from "vitest";
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import { isSignedBy } from "../../core/crypto/signed.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import * as der from "../../core/formats/der.ts";
import { concat, decodeBase64, encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import { withoutSctList } from "../../core/formats/leaf-profile.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import * as sct from "../../core/formats/sct.ts";
import { extensionOids, findExtension, parseCertificate } from "../../core/formats/x509.ts";

const vector = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../vectors/sigstore/${name}`, import.meta.url), "utf8"));

/** The parts of Sigstore's public trusted root that are needed here. */
interface TrustedRoot {
  readonly ctlogs: readonly { readonly publicKey: { readonly rawBytes: string } }[];
  readonly certificateAuthorities: readonly {
    readonly certChain: { readonly certificates: readonly { readonly rawBytes: string }[] };
  }[];
}

/** The leaf of a bundle of either shape. */
interface Bundle {
  readonly verificationMaterial: {
    readonly certificate?: { readonly rawBytes: string };
    readonly x509CertificateChain?: {
      readonly certificates: readonly { readonly rawBytes: string }[];
    };
  };
}

describe.each([
  "bundle-provenance.json",
  "dsse.sigstore.json",
  "sigstore.js@2.0.0-provenance.sigstore.json",
])("the SCT in %s", (name) => {
  const root = vector("trusted-root-public-good.json") as TrustedRoot;
  const { verificationMaterial } = vector(name) as Bundle;
  const raw =
    verificationMaterial.certificate ?? verificationMaterial.x509CertificateChain?.certificates[0];
  const leaf = parseCertificate(decodeBase64(raw?.rawBytes ?? ""));
  const extension = findExtension(leaf, extensionOids.sctList);
  const list = der.readOctetString(der.readDer(extension?.value ?? new Uint8Array()));
  const [embedded] = sct.parseSctList(list);
  const issuer = root.certificateAuthorities
    .map(({ certChain }) => certChain.certificates[0])
    .map((certificate) => parseCertificate(decodeBase64(certificate?.rawBytes ?? "")))
    .find((certificate) => isSignedBy(leaf, importPublicKey(certificate.publicKey)));
  const log = root.ctlogs
    .map(({ publicKey }) => importPublicKey(decodeBase64(publicKey.rawBytes)))
    .find(({ spki }) => equalBytes(sha256(spki), embedded?.logId ?? new Uint8Array()));

  function isGood(timestampMs: bigint): boolean {
    if (embedded === undefined || issuer === undefined || log === undefined) return false;
    const input = sct.sctSignatureInput({
      kind: "precertificate",
      timestampMs,
      extensions: embedded.extensions,
      issuerKeyHash: sha256(issuer.publicKey),
      tbs: withoutSctList(leaf.tbs),
    });
    return verifySignature(log, input, sct.parseDigitallySigned(embedded.signature).signature);
  }

  test("verifies with the public log's key", () => {
    expect(isGood(embedded?.timestampMs ?? 0n)).toBe(true);
  });

  test("does not verify for another time", () => {
    expect(isGood((embedded?.timestampMs ?? 0n) + 1n)).toBe(false);
  });

  test("is written as it was read", () => {
    expect(encodeHex(sct.formatSctList(sct.parseSctList(list)))).toBe(encodeHex(list));
  });
});

const timestampMs = fc.bigInt(0n, 2n ** 63n - 1n);
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
const short = fc.uint8Array({ maxLength: 300 });
const entry = fc.oneof(
  fc.record({
    kind: fc.constant("certificate" as const),
    timestampMs,
    certificate: short,
    extensions: short,
  }),
  fc.record({
    kind: fc.constant("precertificate" as const),
    timestampMs,
    issuerKeyHash: hash,
    tbs: short,
    extensions: short,
  }),
);

property.prop([entry])("a merkle tree leaf is read as it was written", (value) => {
  expect(sct.parseMerkleTreeLeaf(sct.merkleTreeLeaf(value))).toEqual(value);
});

property.prop([entry])("leaf and signature input say the same", (value) => {
  expect(sct.sctSignatureInput(value).subarray(2)).toEqual(sct.merkleTreeLeaf(value).subarray(2));
});

property.prop([
  fc.array(
    fc.record({
      logId: hash,
      timestampMs,
      extensions: short,
      signature: short.map(sct.digitallySigned),
    }),
    { minLength: 1, maxLength: 4 },
  ),
])("an SCT list is read as it was written", (scts) => {
  expect(sct.parseSctList(sct.formatSctList(scts))).toEqual(scts);
});

test("the precertificate form of RFC 6962 §3.2, byte for byte", () => {
  const input = sct.sctSignatureInput({
    kind: "precertificate",
    timestampMs: 0x0102030405060708n,
    issuerKeyHash: new Uint8Array(32).fill(0xaa),
    tbs: Uint8Array.of(0x30, 0x00),
  });
  expect(encodeHex(input)).toBe(
    `00000102030405060708${"0001"}${"aa".repeat(32)}${"000002"}${"3000"}${"0000"}`,
  );
});

test("the tree head form of RFC 6962 §3.5, byte for byte", () => {
  const root = new Uint8Array(32).fill(0xbb);
  const input = sct.treeHeadSignatureInput({ timestampMs: 1n, size: 2n, root });
  expect(encodeHex(input)).toBe(`0001${"0".repeat(15)}1${"0".repeat(15)}2${"bb".repeat(32)}`);
});

test("extra data of certificates and precertificates, byte for byte", () => {
  const [a, b] = [Uint8Array.of(1), Uint8Array.of(2, 3)];
  expect(encodeHex(sct.certificateChainExtra([a, b]))).toBe("000009000001010000020203");
  expect(encodeHex(sct.precertChainExtra(a, [b]))).toBe("000001010000050000020203");
  expect(encodeHex(sct.certificateChainExtra([]))).toBe("000000");
});

const good = sct.digitallySigned(Uint8Array.of(9));
const list = sct.formatSctList([
  { logId: new Uint8Array(32), timestampMs: 5n, extensions: new Uint8Array(), signature: good },
]);

test.each([
  ["an empty list", Uint8Array.of(0, 0)],
  ["nothing", new Uint8Array()],
  ["a trailing byte", concat(list, Uint8Array.of(0))],
  ["a cut list", list.subarray(0, -1)],
  ["another version", list.with(4, 1)],
  ["an unknown hash", list.with(list.length - 5, 2)],
  ["an unknown signature algorithm", list.with(list.length - 4, 7)],
])("refuses %s", (_, bytes) => {
  expect(() => sct.parseSctList(bytes)).toThrow(Malformed);
});

test.each([
  [
    "a key hash of 31 bytes",
    () =>
      sct.merkleTreeLeaf({
        kind: "precertificate",
        timestampMs: 0n,
        issuerKeyHash: new Uint8Array(31),
        tbs: new Uint8Array(),
      }),
  ],
  [
    "a negative time",
    () =>
      sct.merkleTreeLeaf({ kind: "certificate", timestampMs: -1n, certificate: new Uint8Array() }),
  ],
  [
    "extensions of 64 KiB",
    () =>
      sct.merkleTreeLeaf({
        kind: "certificate",
        timestampMs: 0n,
        certificate: new Uint8Array(),
        extensions: new Uint8Array(65_536),
      }),
  ],
  [
    "a root of 31 bytes",
    () => sct.treeHeadSignatureInput({ timestampMs: 0n, size: 0n, root: new Uint8Array(31) }),
  ],
  ["an empty list", () => sct.formatSctList([])],
  ["an unknown leaf type", () => sct.parseMerkleTreeLeaf(Uint8Array.of(0, 1))],
])("refuses to write or read %s", (_, make) => {
  expect(make).toThrow(Malformed);
});
