import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as der from "../../core/formats/der.ts";
import { concat, decodeBase64, encodeHex } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  extensionOids,
  findExtension,
  formatCertificate,
  formatTbs,
  keyPurposes,
  parseCertificate,
  readBasicConstraints,
  readKeyPurposes,
  readKeyUsage,
  readSubjectAltNames,
} from "../../core/formats/x509.ts";
import { softAuthority, softSign } from "../crypto/soft-authority.ts";

const now = new Date("2026-11-21T12:00:00Z");
const authority = softAuthority(now);
const root = JSON.parse(
  readFileSync(
    new URL("../vectors/sigstore/trusted-root-public-good.json", import.meta.url),
    "utf8",
  ),
) as {
  readonly certificateAuthorities: readonly {
    readonly certChain: { readonly certificates: readonly { readonly rawBytes: string }[] };
  }[];
};
const publicCas = root.certificateAuthorities.flatMap(({ certChain }) =>
  certChain.certificates.map(({ rawBytes }) => decodeBase64(rawBytes)),
);

describe.each([...publicCas, ...authority.chain].map((bytes, at) => [at, bytes] as const))(
  "CA certificate %i",
  (_, bytes) => {
    const parsed = parseCertificate(bytes);
    const oracle = new X509Certificate(bytes);

    test("means the same to node", () => {
      expect(encodeHex(parsed.serial).toUpperCase()).toBe(oracle.serialNumber);
      expect(parsed.notBefore).toEqual(oracle.validFromDate);
      expect(parsed.notAfter).toEqual(oracle.validToDate);
      expect(parsed.publicKey).toEqual(
        new Uint8Array(oracle.publicKey.export({ format: "der", type: "spki" })),
      );
      expect(readBasicConstraints(parsed).isCa).toBe(oracle.ca);
      expect(readKeyPurposes(parsed) ?? undefined).toEqual(oracle.keyUsage);
      expect(readKeyUsage(parsed)?.has(5)).toBe(true);
    });

    test("is put together again from its parts", () => {
      const algorithm = der.readDer(bytes).children()[1]?.encoded ?? new Uint8Array();
      expect(der.sequence(parsed.tbs, algorithm, der.bitString(parsed.signature))).toEqual(bytes);
    });
  },
);

test("reads the user name of Fulcio's otherName", () => {
  const bundle = JSON.parse(
    readFileSync(new URL("../vectors/sigstore/othername.sigstore.json", import.meta.url), "utf8"),
  ) as {
    verificationMaterial: {
      certificate?: { rawBytes: string };
      x509CertificateChain?: { certificates: { rawBytes: string }[] };
    };
  };
  const { certificate, x509CertificateChain } = bundle.verificationMaterial;
  const raw = (certificate ?? x509CertificateChain?.certificates[0])?.rawBytes ?? "";
  const extension = findExtension(
    parseCertificate(decodeBase64(raw)),
    extensionOids.subjectAltName,
  );
  expect(extension && readSubjectAltNames(extension)).toEqual([
    { kind: "otherName", value: "foo!oidc.local" },
  ]);
});

test("reads purposes and path length of an issuing CA", () => {
  const issuing = parseCertificate(authority.issuing.der);
  expect(readBasicConstraints(issuing)).toEqual({ isCa: true, pathLength: 0n });
  expect(readKeyPurposes(issuing)).toEqual([keyPurposes.codeSigning]);
});

const good = parseCertificate(authority.issuing.der);

/** The certificate with some of the elements of its TBSCertificate changed. */
function altered(change: (elements: Uint8Array[]) => readonly Uint8Array[]): Uint8Array {
  const elements = der
    .readDer(good.tbs)
    .children()
    .map(({ encoded }) => encoded);
  return wrapped(der.sequence(...change(elements)));
}

function wrapped(tbs: Uint8Array): Uint8Array {
  return formatCertificate(tbs, "ecdsa-sha384", softSign(authority.root, tbs, "sha384"));
}

const swap = (at: number, element: Uint8Array) => (all: Uint8Array[]) => all.with(at, element);
const time = (text: string) => der.tlv(der.tags.generalizedTime, new TextEncoder().encode(text));
const validity = (from: Uint8Array) => der.sequence(from, der.time(good.notAfter));
const extensionList = (...extensions: Uint8Array[]) => der.explicit(3, der.sequence(...extensions));
const unknown = der.sequence(der.oid("1.2.3"), der.octetString(new Uint8Array()));

test.each<[string, () => Uint8Array]>([
  ["a trailing byte", () => concat(authority.issuing.der, Uint8Array.of(0))],
  ["a negative serial", () => altered(swap(1, der.integer(-5n)))],
  ["a serial of 21 octets", () => altered(swap(1, der.integer(new Uint8Array(21).fill(1))))],
  ["version 2", () => altered(swap(0, der.explicit(0, der.integer(1n))))],
  ["version 4", () => altered(swap(0, der.explicit(0, der.integer(3n))))],
  ["version 1 written out", () => altered(swap(0, der.explicit(0, der.integer(0n))))],
  ["version 1 with extensions", () => altered((all) => all.slice(1))],
  ["another inner algorithm", () => altered(swap(2, der.sequence(der.oid("1.2.840.10045.4.3.2"))))],
  [
    "inner parameters",
    () => altered(swap(2, der.sequence(der.oid("1.2.840.10045.4.3.3"), der.nullValue()))),
  ],
  ["GeneralizedTime before 2050", () => altered(swap(4, validity(time("20260101000000Z"))))],
  ["fractions of a second", () => altered(swap(4, validity(time("20500101000000.5Z"))))],
  ["an empty list of extensions", () => altered(swap(7, extensionList()))],
  ["an extension twice", () => altered(swap(7, extensionList(unknown, unknown)))],
  [
    "critical FALSE written out",
    () =>
      altered(
        swap(
          7,
          extensionList(
            der.sequence(der.oid("1.2.3"), der.boolean(false), der.octetString(new Uint8Array())),
          ),
        ),
      ),
  ],
  [
    "an extension without value",
    () => altered(swap(7, extensionList(der.sequence(der.oid("1.2.3"))))),
  ],
  ["an element too many", () => altered((all) => [...all, der.nullValue()])],
  ["an element too few", () => altered((all) => all.slice(0, 5))],
  [
    "a signature of broken octets",
    () =>
      der.sequence(
        good.tbs,
        der.sequence(der.oid("1.2.840.10045.4.3.3")),
        der.bitString(Uint8Array.of(0x80), 7),
      ),
  ],
  ["no signature", () => der.sequence(good.tbs, der.sequence(der.oid("1.2.840.10045.4.3.3")))],
])("refuses %s", (_, make) => {
  expect(() => parseCertificate(make())).toThrow(Malformed);
});

test("reads a version 1 certificate without extensions", () => {
  const read = parseCertificate(altered((all) => all.slice(1, -1)));
  expect(read.extensions).toEqual([]);
  expect(readBasicConstraints(read)).toEqual({ isCa: false, pathLength: null });
});

test("writes serials of 20 octets and refuses 21", () => {
  const fields = { ...good, signatureAlgorithm: "ecdsa-sha384" as const };
  expect(formatTbs({ ...fields, serial: new Uint8Array(20).fill(0x7f) })).toBeInstanceOf(
    Uint8Array,
  );
  expect(() => formatTbs({ ...fields, serial: new Uint8Array(20).fill(0x80) })).toThrow(Malformed);
});
