import { describe, expect, test } from "vitest";
import * as der from "../../core/formats/der.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { fulcioExtensions } from "../../core/formats/fulcio-oids.ts";
import {
  checkLeafTbs,
  formatLeafTbs,
  withoutPoison,
  withoutSctList,
  withSctList,
} from "../../core/formats/leaf-profile.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { type Extension, extensionOids, formatTbs, parseTbs } from "../../core/formats/x509.ts";
import { fields, list, now, principal, profile } from "./leaf.ts";

const precertificate = formatLeafTbs(fields, { kind: "poison" });
const final = formatLeafTbs(fields, { kind: "sctList", list });
const parsed = parseTbs(precertificate);
const subject = der.sequence(der.setOf(der.sequence(der.oid("2.5.4.3"), der.utf8String("x"))));

function build(change: Partial<Parameters<typeof formatTbs>[0]>): Uint8Array {
  return formatTbs({ ...parsed, signatureAlgorithm: "ecdsa-sha256", ...change });
}

function extended(change: (extensions: Extension[]) => Extension[]): Uint8Array {
  return build({ extensions: change([...parsed.extensions]) });
}

const replace = (oid: string, change: Partial<Extension>) => (all: Extension[]) =>
  all.map((extension) => (extension.oid === oid ? { ...extension, ...change } : extension));
const add = (extension: Extension) => (all: Extension[]) => [
  ...all.slice(0, -1),
  extension,
  ...all.slice(-1),
];
const sanOf = (...names: Uint8Array[]) =>
  replace(extensionOids.subjectAltName, { value: der.sequence(...names) });
const mail = (value: string) => der.implicit(1, encodeUtf8(value));

const refusals: readonly [string, () => Uint8Array][] = [
  ["a serial of 19 octets", () => build({ serial: new Uint8Array(19).fill(0x41) })],
  ["a serial that may get shorter", () => build({ serial: new Uint8Array(20).fill(0x3f) })],
  ["another issuer", () => build({ issuer: subject })],
  ["a subject", () => build({ subject })],
  ["another signature algorithm", () => build({ signatureAlgorithm: "ecdsa-sha384" })],
  ["601 seconds", () => build({ notAfter: new Date(now.getTime() + 601_000) })],
  ["no lifetime", () => build({ notAfter: now })],
  ["a negative lifetime", () => build({ notAfter: new Date(now.getTime() - 1_000) })],
  ["an early notBefore", () => build({ notBefore: new Date(now.getTime() - 1_000) })],
  ["a late notBefore", () => build({ notBefore: new Date(now.getTime() + 1_000) })],
  [
    "basic constraints",
    () =>
      extended(
        add({
          oid: extensionOids.basicConstraints,
          critical: true,
          value: der.sequence(der.boolean(true)),
        }),
      ),
  ],
  [
    "an unknown extension",
    () => extended(add({ oid: "1.2.3.4", critical: false, value: der.nullValue() })),
  ],
  [
    "a critical extension of Fulcio's",
    () => extended(replace("1.3.6.1.4.1.57264.1.9", { critical: true })),
  ],
  [
    "Fulcio's arc 25",
    () =>
      extended(add({ oid: "1.3.6.1.4.1.57264.1.25", critical: false, value: der.utf8String("x") })),
  ],
  [
    "Fulcio's extensions in another order",
    () => extended(add({ oid: "1.3.6.1.4.1.57264.1.3", critical: false, value: encodeUtf8("x") })),
  ],
  [
    "an arc above 8 that is not DER",
    () => extended(replace("1.3.6.1.4.1.57264.1.9", { value: encodeUtf8("https://x") })),
  ],
  [
    "two different issuers",
    () =>
      extended(
        replace("1.3.6.1.4.1.57264.1.8", { value: der.utf8String("https://other.example") }),
      ),
  ],
  [
    "no Fulcio extensions",
    () => extended((all) => all.filter(({ oid }) => !oid.includes("57264"))),
  ],
  [
    "more key usage",
    () =>
      extended(replace(extensionOids.keyUsage, { value: der.bitString(Uint8Array.of(0x84), 2) })),
  ],
  [
    "key usage that is not critical",
    () => extended(replace(extensionOids.keyUsage, { critical: false })),
  ],
  [
    "no key purpose",
    () => extended((all) => all.filter(({ oid }) => oid !== extensionOids.extendedKeyUsage)),
  ],
  [
    "a second key purpose",
    () =>
      extended(
        replace(extensionOids.extendedKeyUsage, {
          value: der.sequence(der.oid("1.3.6.1.5.5.7.3.3"), der.oid("1.3.6.1.5.5.7.3.1")),
        }),
      ),
  ],
  [
    "another subject key identifier",
    () =>
      extended(
        replace(extensionOids.subjectKeyIdentifier, {
          value: der.octetString(new Uint8Array(20)),
        }),
      ),
  ],
  [
    "another authority key identifier",
    () =>
      extended(
        replace(extensionOids.authorityKeyIdentifier, {
          value: der.sequence(der.implicit(0, new Uint8Array(20))),
        }),
      ),
  ],
  [
    "a subject alternative name that is not critical",
    () => extended(replace(extensionOids.subjectAltName, { critical: false })),
  ],
  [
    "no subject alternative name",
    () => extended((all) => all.filter(({ oid }) => oid !== extensionOids.subjectAltName)),
  ],
  ["an empty subject alternative name", () => extended(sanOf())],
  ["two subject alternative names", () => extended(sanOf(mail("a@b"), mail("c@d")))],
  [
    "a DNS name beside the e-mail address",
    () => extended(sanOf(mail("a@b"), der.implicit(2, encodeUtf8("host")))),
  ],
  ["a name that is empty", () => extended(sanOf(mail("")))],
  [
    "extensions in another order",
    () =>
      extended(([first, second, ...rest]) =>
        [second, first, ...rest].filter((extension) => extension !== undefined),
      ),
  ],
  ["neither poison nor SCT list", () => formatLeafTbs(fields, { kind: "none" })],
  [
    "poison and SCT list",
    () =>
      extended(add({ oid: extensionOids.sctList, critical: false, value: der.octetString(list) })),
  ],
  [
    "a poison that is not critical",
    () => extended(replace(extensionOids.poison, { critical: false })),
  ],
  [
    "a poison of another value",
    () => extended(replace(extensionOids.poison, { value: der.octetString(new Uint8Array()) })),
  ],
  ["poison before the end", () => extended((all) => [...all.slice(-1), ...all.slice(0, -1)])],
  [
    "8 KiB",
    () =>
      formatLeafTbs(
        { ...fields, san: { kind: "uri", value: `https://${"x".repeat(8_000)}` } },
        { kind: "poison" },
      ),
  ],
  ["version 1", () => versionOne()],
];

describe("the lint refuses", () => {
  test("nothing that is right", () => {
    expect(checkLeafTbs(build({}), profile).end.kind).toBe("poison");
  });

  test.each(refusals)("%s", (_, make) => {
    expect(() => checkLeafTbs(make(), profile)).toThrow(Malformed);
  });
});

function versionOne(): Uint8Array {
  const [, ...rest] = der.readDer(precertificate).children();
  return der.sequence(...rest.slice(0, -1).map(({ encoded }) => encoded));
}

test.each([
  ["poison where there is none", () => withoutPoison(final)],
  ["an SCT list where there is none", () => withoutSctList(precertificate)],
  ["a poison and still adds a list", () => withSctList(precertificate, list)],
  ["a list and adds another", () => withSctList(final, list)],
  ["no extensions", () => withoutPoison(versionOne())],
])("refuses to remove or finds %s", (_, work) => {
  expect(work).toThrow(Malformed);
});

test.each([
  ["an empty value", [{ arc: 9, value: "" }]],
  ["arc 7", [{ arc: 7, value: "x" }]],
  ["arc 25", [{ arc: 25, value: "x" }]],
  ["arc 8, which is ours", [{ arc: 8, value: "x" }]],
  [
    "an arc twice",
    [
      { arc: 9, value: "x" },
      { arc: 9, value: "y" },
    ],
  ],
])("refuses a Fulcio extension with %s", (_, given) => {
  expect(() => fulcioExtensions({ ...principal, extensions: given })).toThrow(Malformed);
});

test("refuses an e-mail address or URI outside ASCII", () => {
  for (const kind of ["email", "uri"] as const) {
    expect(() =>
      formatLeafTbs({ ...fields, san: { kind, value: "ü@example.com" } }, { kind: "poison" }),
    ).toThrow(Malformed);
  }
});
