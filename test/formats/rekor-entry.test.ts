/** Rekor v1 entries, rebuilt byte for byte from what real bundles hold, and everything that must not be read as one. */
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { fc, test as property } from "../support/fixed-draws.ts";
import { describe, expect, test } from "vitest";
import {
  decodeBase64,
  decodeUtf8,
  encodeBase64,
  encodeHex,
  encodeUtf8,
} from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { leafHash, verifyInclusion } from "../../core/formats/merkle.ts";
import { formatPem } from "../../core/formats/pem.ts";
import * as entries from "../../core/formats/rekor-entry.ts";
import { UnreadableVerifier } from "../../core/formats/rekor-members.ts";

const vector = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../vectors/rekor/${name}`, import.meta.url), "utf8"));
const bytesOf = (value: unknown) => encodeUtf8(JSON.stringify(value));

/** What both vectors say of their entry. */
interface LoggedEntry {
  readonly logIndex: string;
  readonly integratedTime: string;
  readonly inclusionPromise: { readonly signedEntryTimestamp: string };
  readonly canonicalizedBody: string;
  readonly logId: { readonly keyId: string };
}

function verifySet(body: Uint8Array, entry: LoggedEntry, spki: string): boolean {
  const payload = entries.formatSetPayload({
    body,
    integratedTimeSeconds: BigInt(entry.integratedTime),
    logId: decodeBase64(entry.logId.keyId),
    logIndex: BigInt(entry.logIndex),
  });
  const key = createPublicKey({ key: Buffer.from(spki, "base64"), format: "der", type: "spki" });
  const signature = decodeBase64(entry.inclusionPromise.signedEntryTimestamp);
  return verify("sha256", payload, key, signature);
}

const bundle = vector("othername.sigstore.json") as {
  readonly verificationMaterial: {
    readonly certificate: { readonly rawBytes: string };
    readonly tlogEntries: readonly [LoggedEntry];
  };
  readonly messageSignature: {
    readonly messageDigest: { readonly digest: string };
    readonly signature: string;
  };
};
const { tlogs } = vector("scaffolding.json") as {
  readonly tlogs: readonly [{ readonly publicKey: { readonly rawBytes: string } }];
};
const [bundled] = bundle.verificationMaterial.tlogEntries;
const leaf = decodeBase64(bundle.verificationMaterial.certificate.rawBytes);
const digest = decodeBase64(bundle.messageSignature.messageDigest.digest);
const proposedRecord = (lineEnd: string) => ({
  apiVersion: "0.0.1",
  kind: "hashedrekord",
  spec: {
    data: { hash: { algorithm: "sha256", value: encodeHex(digest) } },
    signature: {
      content: bundle.messageSignature.signature,
      publicKey: {
        content: encodeBase64(encodeUtf8(formatPem("CERTIFICATE", leaf).replaceAll("\n", lineEnd))),
      },
    },
  },
});
const rebuilt = (value: unknown) => {
  const entry = entries.parseProposedEntry(bytesOf(value));
  if (entry.kind !== "hashedrekord") throw new Error("expected a hashedrekord");
  return entries.canonicalBody(entry);
};

describe("a real hashedrekord bundle", () => {
  test("gives the logged body byte for byte", () => {
    expect(encodeBase64(rebuilt(proposedRecord("\n")))).toBe(bundled.canonicalizedBody);
  });

  test("has the signed entry timestamp of its log over what we format", () => {
    const body = rebuilt(proposedRecord("\n"));
    expect(verifySet(body, bundled, tlogs[0].publicKey.rawBytes)).toBe(true);
    const later = { ...bundled, integratedTime: String(Number(bundled.integratedTime) + 1) };
    expect(verifySet(body, later, tlogs[0].publicKey.rawBytes)).toBe(false);
  });

  test("is the same entry with other line ends, upper-case digits and unknown members", () => {
    const value = proposedRecord("\r\n");
    const shouting = JSON.parse(
      JSON.stringify({ ...value, extra: [1] }).replace(
        encodeHex(digest),
        encodeHex(digest).toUpperCase(),
      ),
    ) as unknown;
    expect(encodeBase64(rebuilt(shouting))).toBe(bundled.canonicalizedBody);
  });
});

const real = vector("dsse-pypi.json") as LoggedEntry & {
  readonly certificate: string;
  readonly payload: string;
  readonly signature: string;
  readonly signedEntryTimestamp: string;
  readonly rekorKey: string;
  readonly inclusionProof: {
    readonly logIndex: string;
    readonly rootHash: string;
    readonly treeSize: string;
    readonly hashes: readonly string[];
  };
};
const leafPem = formatPem("CERTIFICATE", decodeBase64(real.certificate));
const envelope = JSON.stringify({
  payload: real.payload,
  payloadType: "application/vnd.in-toto+json",
  signatures: [{ sig: real.signature, keyid: "" }],
});
const verifiers = [encodeBase64(encodeUtf8(leafPem))];
const proposedEnvelope = {
  kind: "dsse",
  apiVersion: "0.0.1",
  spec: { proposedContent: { envelope, verifiers } },
};
const body = () => {
  const entry = entries.parseProposedEntry(bytesOf(proposedEnvelope));
  if (entry.kind !== "dsse") throw new Error("expected a dsse entry");
  return entries.canonicalBody(entries.dsseEntry(entry, entry.verifiers));
};
const receipt = {
  ...real,
  logId: { keyId: (vector("dsse-pypi.json") as { readonly logId: string }).logId },
  inclusionPromise: { signedEntryTimestamp: real.signedEntryTimestamp },
};

describe("a real dsse entry", () => {
  test("has the signed entry timestamp of the public-good log over the body we rebuild", () => {
    expect(verifySet(body(), receipt, real.rekorKey)).toBe(true);
  });

  test("is in the tree of the public-good log with the body we rebuild", () => {
    const { logIndex, treeSize, rootHash, hashes } = real.inclusionProof;
    const inclusion = {
      index: BigInt(logIndex),
      size: BigInt(treeSize),
      leafHash: leafHash(body()),
      root: decodeBase64(rootHash),
      proof: hashes.map(decodeBase64),
    };
    expect(verifyInclusion(inclusion)).toBe(true);
  });

  test("has its signatures sorted by their base64 text, each with its verifier", () => {
    const verifier = (byte: number) =>
      ({ label: "PUBLIC KEY", der: new Uint8Array([byte]) }) as const;
    const signature = (byte: number) => ({
      signature: new Uint8Array([byte]),
      verifier: verifier(byte),
    });
    const hash = new Uint8Array(32);
    // In base64 250 is "+g==" and comes before 4, which is "BA==".
    const text = (bytes: readonly number[]) =>
      decodeUtf8(
        entries.canonicalBody({
          kind: "dsse",
          envelopeHash: hash,
          payloadHash: hash,
          signatures: bytes.map(signature),
        }),
      );
    expect(text([4, 250])).toBe(text([250, 4]));
    expect(text([4, 250]).indexOf("+g==")).toBeLessThan(text([4, 250]).indexOf("BA=="));
  });
});

describe("entry ids", () => {
  const hash = new Uint8Array(32).fill(7);

  test("are the tree id as 16 digits and the leaf hash", () => {
    expect(entries.entryId(0x1fn, hash)).toBe(`000000000000001f${"07".repeat(32)}`);
  });

  property.prop([fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })])("read back", (treeId) => {
    expect(entries.parseEntryId(entries.entryId(treeId, hash))).toEqual({ treeId, leafHash: hash });
  });

  test("may lack the tree id", () => {
    expect(entries.parseEntryId("07".repeat(32))).toEqual({ leafHash: hash });
  });

  test.for([
    "",
    "07".repeat(31),
    "07".repeat(33),
    "0".repeat(63),
    "0".repeat(79),
    "0".repeat(82),
    "0G".repeat(32),
    `0x${"0".repeat(62)}`,
    "AB".repeat(32),
  ])("are not %j", (id) => {
    expect(() => entries.parseEntryId(id)).toThrow(Malformed);
  });
});

const der = new Uint8Array([0x30, 0]);
const pem = (label: string) => encodeBase64(encodeUtf8(formatPem(label, der)));
const value = "ab".repeat(32);
const good = {
  apiVersion: "0.0.1",
  kind: "hashedrekord",
  spec: {
    data: { hash: { algorithm: "sha256", value } },
    signature: { content: "AAAA", publicKey: { content: pem("PUBLIC KEY") } },
  },
};
const hash = (algorithm: string, digits: string) => ({
  ...good,
  spec: { ...good.spec, data: { hash: { algorithm, value: digits } } },
});
const key = (content: string) => ({
  ...good,
  spec: { ...good.spec, signature: { content: "AAAA", publicKey: { content } } },
});
const twice = `${formatPem("PUBLIC KEY", der)}${formatPem("PUBLIC KEY", der)}`;

describe("refusals", () => {
  test("reads the entry that the refusals are made from", () => {
    expect(entries.parseProposedEntry(bytesOf(good))).toMatchObject({ kind: "hashedrekord" });
    for (const [name, length] of [
      ["sha384", 48],
      ["sha512", 64],
    ] as const) {
      const entry = entries.parseProposedEntry(bytesOf(hash(name, "ab".repeat(length))));
      expect(entry).toMatchObject({ hashAlgorithm: name });
    }
  });

  test.for([
    ["63 digits", hash("sha256", value.slice(1))],
    ["65 digits", hash("sha256", `${value}a`)],
    ["31 bytes", hash("sha256", value.slice(2))],
    ["33 bytes", hash("sha256", `${value}ab`)],
    ["no digits", hash("sha256", "")],
    ["a prefix", hash("sha256", `0x${value.slice(2)}`)],
    ["digits that are not hex", hash("sha256", "zz".repeat(32))],
    ["SHA-1", hash("sha1", "ab".repeat(20))],
    ["a SHA-512 that is 32 bytes", hash("sha512", value)],
    ["an algorithm named like a property of every object", hash("toString", value)],
    [
      "a url beside the digest",
      { ...good, spec: { ...good.spec, data: { ...good.spec.data, url: "http://a/" } } },
    ],
    ["a url at the top", { ...good, url: null }],
  ] as const)("refuses %s", ([, proposed]) => {
    expect(() => entries.parseProposedEntry(bytesOf(proposed))).toThrow(Malformed);
  });

  test.for([
    ["the kind HashedRekord", { kind: "HashedRekord" }],
    ["the kind jar", { kind: "jar" }],
    ["the kind cose", { kind: "cose" }],
    ["the kind rfc3161", { kind: "rfc3161" }],
    ["the kind constructor", { kind: "constructor" }],
    ["a rekord of version 0.0.2", { kind: "rekord", apiVersion: "0.0.2" }],
    ["an intoto of version 0.0.3", { kind: "intoto", apiVersion: "0.0.3" }],
    ["an empty kind", { kind: "" }],
    ["the version 9.9.9", { apiVersion: "9.9.9" }],
    ["the version 0.0.1 and a line feed", { apiVersion: "0.0.1\n" }],
    ["an empty version", { apiVersion: "" }],
    ["the version 0.0.2", { apiVersion: "0.0.2" }],
    ["a version of a megabyte", { apiVersion: "1".repeat(1_000_000) }],
  ] as const)("does not support %s", ([, change]) => {
    const parse = () => entries.parseProposedEntry(bytesOf({ ...good, ...change }));
    expect(parse).toThrow(entries.UnsupportedEntry);
  });
});

describe("verifiers and signatures", () => {
  test.for([
    ["two blocks", encodeBase64(encodeUtf8(twice))],
    ["a private key", pem("PRIVATE KEY")],
    ["a PKCS #1 key", pem("RSA PUBLIC KEY")],
    ["a comment of a megabyte", encodeBase64(encodeUtf8(`${"#".repeat(1_000_000)}\n${twice}`))],
    ["DER without PEM", encodeBase64(der)],
    ["white space", encodeBase64(encodeUtf8(" \n"))],
  ] as const)("cannot read %s as a verifier", ([, content]) => {
    const parse = () => entries.parseProposedEntry(bytesOf(key(content)));
    expect(parse).toThrow(UnreadableVerifier);
  });

  test("takes 8 signatures and verifiers, and not 9", () => {
    const dsse = (signatures: number, verifiers: number) =>
      bytesOf({
        apiVersion: "0.0.1",
        kind: "dsse",
        spec: {
          proposedContent: {
            envelope: JSON.stringify({
              payload: "",
              payloadType: "a/b",
              signatures: Array.from({ length: signatures }, () => ({ sig: "AAAA" })),
            }),
            verifiers: Array.from({ length: verifiers }, () => pem("PUBLIC KEY")),
          },
        },
      });
    expect(entries.parseProposedEntry(dsse(8, 8))).toMatchObject({ kind: "dsse" });
    expect(() => entries.parseProposedEntry(dsse(9, 1))).toThrow(Malformed);
    expect(() => entries.parseProposedEntry(dsse(1, 9))).toThrow(Malformed);
    expect(() => entries.parseProposedEntry(dsse(1, 0))).toThrow(Malformed);
  });
});
