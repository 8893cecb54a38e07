import { describe, expect, test } from "vitest";
import { sha256, sha384 } from "../../core/crypto/hash.ts";
import * as der from "../../core/formats/der.ts";
import { concat, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { formatPem } from "../../core/formats/pem.ts";
import * as tsp from "../../core/formats/tsp.ts";
import { TokenWriter } from "../../core/formats/tsp-writer.ts";
import {
  extensionOids,
  formatName,
  keyPurposes,
  parseCertificate,
} from "../../core/formats/x509.ts";
import { certificate, softAuthority, softKey, softSign } from "../crypto/soft-authority.ts";
import { openssl } from "./openssl.ts";

const now = new Date("2026-11-21T12:00:00Z");
const artifact = encodeUtf8("signature bytes");
const key = softKey();
const name = formatName({ commonName: "test timestamps", organization: "test" });
const authority = softAuthority(now, { extensions: timestampingCa() });
const own = certificate(authority.issuing, "ecdsa-sha256", {
  issuer: authority.issuing.name,
  subject: name,
  notBefore: now,
  notAfter: new Date(now.getTime() + 86_400_000),
  publicKey: key.spki,
  extensions: [
    { oid: extensionOids.keyUsage, critical: true, value: der.bitString(Uint8Array.of(0x80), 7) },
    { oid: extensionOids.extendedKeyUsage, critical: true, value: timeStamping() },
  ],
});

function timeStamping(): Uint8Array {
  return der.sequence(der.oid(keyPurposes.timeStamping));
}

function timestampingCa() {
  const ca = der.sequence(der.boolean(true), der.integer(0n));
  return [
    { oid: extensionOids.keyUsage, critical: true, value: der.bitString(Uint8Array.of(0x06), 1) },
    { oid: extensionOids.basicConstraints, critical: true, value: ca },
    { oid: extensionOids.extendedKeyUsage, critical: false, value: timeStamping() },
  ];
}

const tokens = new TokenWriter({
  policy: "1.3.6.1.4.1.57264.2",
  certificate: parseCertificate(own),
  signatureAlgorithm: "ecdsa-sha256",
  accuracySeconds: 1,
});

function respond(includeCertificate: boolean, nonce?: Uint8Array): Uint8Array {
  const tstInfo = tokens.tstInfo({
    hashAlgorithm: "sha256",
    messageImprint: sha256(artifact),
    serial: new Uint8Array(20).fill(0x42),
    genTime: now,
    nonce,
  });
  const signedAttributes = tokens.signedAttributes(tstInfo, now);
  const signature = softSign(key, signedAttributes);
  const certificates = includeCertificate ? "own" : "none";
  return tsp.formatTimestampResponse(
    tokens.token({ tstInfo, signedAttributes, signature, certificates }),
  );
}

const files = {
  "root.pem": formatPem("CERTIFICATE", authority.root.der),
  "chain.pem": formatPem("CERTIFICATE", own) + formatPem("CERTIFICATE", authority.issuing.der),
  artifact,
  tampered: encodeUtf8("other bytes"),
};

describe.each([true, false])("a response, certificate included: %s", (includeCertificate) => {
  const response = respond(includeCertificate);
  const verify = (data: string) =>
    openssl(
      { ...files, response },
      "ts",
      "-verify",
      "-in",
      "response",
      "-data",
      data,
      "-attime",
      String(now.getTime() / 1000 + 1),
      "-CAfile",
      "root.pem",
      "-untrusted",
      "chain.pem",
    );

  test("verifies with openssl ts", () => {
    expect(verify("artifact").output).toContain("Verification: OK");
  });

  test("does not verify over other data", () => {
    expect(verify("tampered").output).toContain("message imprint mismatch");
  });
});

test("says to openssl what was put in", () => {
  const said = openssl(
    { response: respond(true, Uint8Array.of(0xff, 1)) },
    "ts",
    "-reply",
    "-in",
    "response",
    "-text",
  );
  for (const line of [
    "Status: Granted.",
    "Policy OID: 1.3.6.1.4.1.57264.2",
    "Hash Algorithm: sha256",
    `Serial number: 0x${"42".repeat(20)}`,
    "Time stamp: Nov 21 12:00:00 2026 GMT",
    "Accuracy: 0x01 seconds",
    "Ordering: no",
    "Nonce: 0xFF01",
    "TSA: DirName:/O=test/CN=test timestamps",
  ]) {
    expect(said.output).toContain(line);
  }
});

test("reads openssl's queries", () => {
  const options = ["-data", "artifact", "-sha384", "-cert", "-tspolicy", "1.2.3", "-out", "query"];
  const { files: made } = openssl({ artifact }, "ts", "-query", ...options);
  const read = tsp.parseTimestampRequest(made.get("query") ?? new Uint8Array());
  expect(read).toMatchObject({
    hashAlgorithm: "sha384",
    messageImprint: sha384(artifact),
    policy: "1.2.3",
    certReq: true,
  });
  expect(read.nonce?.length).toBeGreaterThan(0);
});

const imprint = (digest: Uint8Array, oid = "2.16.840.1.101.3.4.2.1", ...parameters: Uint8Array[]) =>
  der.sequence(der.sequence(der.oid(oid), ...parameters), der.octetString(digest));
const digest = sha256(artifact);

test("reads a request with everything", () => {
  const request = der.sequence(
    der.integer(1n),
    imprint(digest, "2.16.840.1.101.3.4.2.1", der.nullValue()),
    der.oid("1.2.3"),
    der.integer(Uint8Array.of(0x80, 7)),
    der.boolean(true),
  );
  expect(tsp.parseTimestampRequest(request)).toEqual({
    hashAlgorithm: "sha256",
    messageImprint: digest,
    policy: "1.2.3",
    nonce: Uint8Array.of(0x80, 7),
    certReq: true,
  });
});

test("reads a request with as little as may be", () => {
  expect(tsp.parseTimestampRequest(der.sequence(der.integer(1n), imprint(digest)))).toEqual({
    hashAlgorithm: "sha256",
    messageImprint: digest,
    policy: null,
    nonce: null,
    certReq: false,
  });
});

test("knows a hash that it does not accept as such", () => {
  const request = der.sequence(der.integer(1n), imprint(digest.subarray(0, 20), "1.3.14.3.2.26"));
  expect(tsp.parseTimestampRequest(request).hashAlgorithm).toBeNull();
});

test.each<[string, Uint8Array]>([
  ["version 2", der.sequence(der.integer(2n), imprint(digest))],
  ["an imprint of the wrong length", der.sequence(der.integer(1n), imprint(digest.subarray(1)))],
  ["a trailing byte", concat(der.sequence(der.integer(1n), imprint(digest)), Uint8Array.of(0))],
  ["certReq FALSE written out", der.sequence(der.integer(1n), imprint(digest), der.boolean(false))],
  ["a negative nonce", der.sequence(der.integer(1n), imprint(digest), der.integer(-1n))],
  [
    "an extension",
    der.sequence(der.integer(1n), imprint(digest), der.implicit(0, der.sequence(), true)),
  ],
  ["no imprint", der.sequence(der.integer(1n))],
])("refuses %s", (_, request) => {
  expect(() => tsp.parseTimestampRequest(request)).toThrow(Malformed);
});

test("refuses to write an imprint of the wrong length", () => {
  expect(() =>
    tokens.tstInfo({
      hashAlgorithm: "sha512",
      messageImprint: digest,
      serial: Uint8Array.of(1),
      genTime: now,
    }),
  ).toThrow(Malformed);
});

test.each(["ecdsa-sha256", "ecdsa-sha384", "rsa-sha256"] as const)(
  "%s: the signed attributes are a set in order, certificate hash and serial among them",
  (signatureAlgorithm) => {
    const certificate = parseCertificate(own);
    const least = { ...certificate, issuer: der.sequence(), serial: Uint8Array.of(1) };
    const tstInfo = der.sequence();
    for (const subject of [certificate, least]) {
      for (const time of [now, new Date("2050-01-01T00:00:00Z")]) {
        const authority = { policy: "1.2.3", certificate: subject, signatureAlgorithm };
        const writer = new TokenWriter({ ...authority, accuracySeconds: 1 });
        const attributes = der.readDer(writer.signedAttributes(tstInfo, time));
        expect(attributes.encoded).toEqual(
          der.setOf(...attributes.children().map(({ encoded }) => encoded)),
        );
        expect(attributes.children()).toHaveLength(4);
        expect(encodeHex(attributes.encoded)).toContain(encodeHex(sha256(own)));
        const contentHash = signatureAlgorithm === "ecdsa-sha384" ? sha384 : sha256;
        expect(encodeHex(attributes.encoded)).toContain(encodeHex(contentHash(tstInfo)));
      }
    }
  },
);

test("stamps of one second differ from those of the next", () => {
  const stamp = {
    hashAlgorithm: "sha256",
    messageImprint: digest,
    serial: Uint8Array.of(1),
  } as const;
  const infos = [0, 999, 1_000].map((afterMs) =>
    encodeHex(tokens.tstInfo({ ...stamp, genTime: new Date(now.getTime() + afterMs) })),
  );
  expect(infos[1]).toBe(infos[0]);
  expect(infos[2]).not.toBe(infos[0]);
  expect(infos[2]).toContain(encodeHex(encodeUtf8("20261121120001Z")));
});
