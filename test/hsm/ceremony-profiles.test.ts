/** Every rule of a ceremony's certificates, just inside and just outside its limit. */
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import * as der from "../../core/formats/der.ts";
import { extensionOids, formatName, formatTbs, keyPurposes } from "../../core/formats/x509.ts";
import { type AuthorityKind, lintAuthority, lintRules } from "../../hsm/ceremony/lint.ts";
import { authorityExtensions } from "../../hsm/ceremony/profiles.ts";

const spki = new Uint8Array(
  generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({
    type: "spki",
    format: "der",
  }),
);

type TbsFields = Parameters<typeof formatTbs>[0];

function fieldsOf(kind: AuthorityKind): TbsFields {
  const name = formatName({ commonName: "one" });
  return {
    serial: new Uint8Array(20).fill(0x41),
    issuer: kind === "root" || kind === "single" ? name : formatName({ commonName: "another" }),
    subject: name,
    notBefore: new Date("2026-01-01T00:00:00Z"),
    notAfter: new Date("2036-01-01T00:00:00Z"),
    publicKey: spki,
    signatureAlgorithm: "ecdsa-sha256",
    extensions: authorityExtensions(kind, { subject: spki, issuer: spki }),
  };
}

type Change = (fields: TbsFields) => TbsFields;
const same: Change = (fields) => fields;
const extension =
  (
    oid: string,
    change: (one: { oid: string; critical: boolean; value: Uint8Array }) => object | null,
  ): Change =>
  (fields) => ({
    ...fields,
    extensions: fields.extensions.flatMap((one) => {
      if (one.oid !== oid) return [one];
      const changed = change(one);
      return changed ? [{ ...one, ...changed }] : [];
    }),
  });
const usage = (bits: number, unused: number) =>
  extension(extensionOids.keyUsage, () => ({ value: der.bitString(Uint8Array.of(bits), unused) }));
const constraints = (...content: Uint8Array[]) =>
  extension(extensionOids.basicConstraints, () => ({ value: der.sequence(...content) }));
const serial =
  (length: number): Change =>
  (fields) => ({
    ...fields,
    serial: new Uint8Array(length).fill(0x41),
  });
const tenYears = Date.UTC(2036, 0) / 1_000 - Date.UTC(2026, 0) / 1_000;
const validity =
  (seconds: number): Change =>
  (fields) => ({
    ...fields,
    notAfter: new Date(fields.notBefore.getTime() + seconds * 1_000),
  });

const certificates: readonly (readonly [string, AuthorityKind, Change, Change])[] = [
  ["serial-length", "root", serial(8), serial(7)],
  ["validity-order", "root", validity(1), validity(0)],
  ["subject-present", "issuing", same, (fields) => ({ ...fields, subject: der.sequence() })],
  ["self-issued-root", "issuing", same, (fields) => ({ ...fields, issuer: fields.subject })],
  ["basic-constraints", "issuing", same, constraints(der.boolean(true), der.integer(1n))],
  ["basic-constraints", "timestamp", same, constraints(der.boolean(true))],
  [
    "basic-constraints-critical",
    "root",
    same,
    extension(extensionOids.basicConstraints, () => ({ critical: false })),
  ],
  ["key-usage", "root", usage(0x06, 1), usage(0x86, 1)],
  ["key-usage", "timestamp", usage(0x80, 7), usage(0xc0, 6)],
  [
    "key-usage-critical",
    "root",
    same,
    extension(extensionOids.keyUsage, () => ({ critical: false })),
  ],
  ["extended-key-usage", "issuing", same, extension(extensionOids.extendedKeyUsage, () => null)],
  [
    "timestamp-purpose-critical",
    "timestamp",
    same,
    extension(extensionOids.extendedKeyUsage, () => ({ critical: false })),
  ],
  [
    "timestamp-purpose-critical",
    "issuing",
    same,
    extension(extensionOids.extendedKeyUsage, () => ({ critical: true })),
  ],
  [
    "subject-key-identifier",
    "root",
    same,
    extension(extensionOids.subjectKeyIdentifier, () => null),
  ],
  [
    "authority-key-identifier",
    "root",
    same,
    extension(extensionOids.authorityKeyIdentifier, () => null),
  ],
];

/** What is below which CA; the change is to what is below. */
const links: readonly (readonly [string, AuthorityKind, AuthorityKind, Change, Change])[] = [
  ["path-length-nested", "intermediate", "issuing", same, same],
  [
    "path-length-nested",
    "intermediate",
    "intermediate",
    constraints(der.boolean(true), der.integer(1n)),
    constraints(der.boolean(true), der.integer(2n)),
  ],
  ["path-length-nested", "timestampIntermediate", "timestamp", same, same],
  ["validity-within-issuer", "root", "issuing", validity(tenYears), validity(tenYears + 1)],
  [
    "validity-within-issuer",
    "root",
    "timestamp",
    (fields) => ({ ...fields, notBefore: new Date("2026-01-01T00:00:00Z") }),
    (fields) => ({ ...fields, notBefore: new Date("2025-12-31T23:59:59Z") }),
  ],
  [
    "purpose-nested",
    "timestampIntermediate",
    "timestamp",
    same,
    extension(extensionOids.extendedKeyUsage, () => ({
      value: der.sequence(der.oid(keyPurposes.timeStamping), der.oid(keyPurposes.codeSigning)),
    })),
  ],
];

describe("certificates", () => {
  test.for(links)("%s: below %s, %s", ([rule, above, kind, within, beyond]) => {
    // One CA more may be below this intermediate than below another.
    const wide = constraints(der.boolean(true), der.integer(2n));
    const issuer = formatTbs((above === "intermediate" ? wide : same)(fieldsOf(above)));
    expect(() => lintAuthority(formatTbs(within(fieldsOf(kind))), kind, issuer)).not.toThrow();
    if (beyond === within) return;
    expect(() => lintAuthority(formatTbs(beyond(fieldsOf(kind))), kind, issuer)).toThrow(
      new RegExp(`breaks (?:[a-z-]+, )*${rule}\\b`),
    );
  });

  test("path-length-nested: nothing is below what is no CA, and no CA below one of length 0", () => {
    for (const above of ["timestamp", "issuing", "single"] as const) {
      const issuer = formatTbs(fieldsOf(above));
      expect(() => lintAuthority(formatTbs(fieldsOf("issuing")), "issuing", issuer)).toThrow(
        /path-length-nested/,
      );
    }
  });

  test("basic-constraints: an intermediate allows for a CA below it, one for timestamps for none", () => {
    const of = (kind: AuthorityKind, below: bigint) =>
      formatTbs(constraints(der.boolean(true), der.integer(below))(fieldsOf(kind)));
    expect(() => lintAuthority(of("intermediate", 1n), "intermediate")).not.toThrow();
    expect(() => lintAuthority(of("intermediate", 0n), "intermediate")).toThrow(
      /basic-constraints/,
    );
    expect(() => lintAuthority(of("single", 0n), "single")).not.toThrow();
    expect(() => lintAuthority(of("single", 1n), "single")).toThrow(/basic-constraints/);
    const unbound = formatTbs(constraints(der.boolean(true))(fieldsOf("timestampIntermediate")));
    expect(() => lintAuthority(unbound, "timestampIntermediate")).toThrow(/basic-constraints/);
  });

  test.each(certificates)("%s of %s", (rule, kind, within, beyond) => {
    expect(() => lintAuthority(formatTbs(within(fieldsOf(kind))), kind)).not.toThrow();
    expect(() => lintAuthority(formatTbs(beyond(fieldsOf(kind))), kind)).toThrow(
      new RegExp(`breaks ${rule} and`),
    );
  });

  test("serial-length: 20 octets are the most, which the parser says before the rule", () => {
    const tbs = (length: number) => formatTbs(serial(length)(fieldsOf("root")));
    expect(() => lintAuthority(tbs(20), "root")).not.toThrow();
    expect(() => lintAuthority(tbs(21), "root")).toThrow(/serial too long/);
  });

  test("extensions-once: none is there twice, whether the parser or the rule says so", () => {
    const fields = fieldsOf("root");
    const twice = [...fields.extensions, ...fields.extensions.slice(-1)];
    expect(() => lintAuthority(formatTbs({ ...fields, extensions: twice }), "root")).toThrow(
      /extensions-once|twice/,
    );
  });

  test("every rule has its cases", () => {
    const tested = new Set([
      ...[...certificates, ...links].map(([rule]) => rule),
      "extensions-once",
    ]);
    expect([...tested].toSorted()).toEqual(lintRules.toSorted());
  });
});
