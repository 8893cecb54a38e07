import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { fc, test as property } from "../support/fixed-draws.ts";
import { expect, test } from "vitest";
import { decodeBase64, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { fulcioExtensions, readFulcioExtensions } from "../../core/formats/fulcio-oids.ts";
import {
  checkLeafTbs,
  correspond,
  formatLeafTbs,
  namesPrincipal,
  unpoison,
  withoutPoison,
  withoutSctList,
  withSctList,
} from "../../core/formats/leaf-profile.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { formatPem } from "../../core/formats/pem.ts";
import {
  formatCertificate,
  keyIdentifier,
  parseCertificate,
  parseTbs,
} from "../../core/formats/x509.ts";
import { softSign } from "../crypto/soft-authority.ts";
import { authority, fields, list, now, profile } from "./leaf.ts";
import { openssl } from "./openssl.ts";

const precertificate = formatLeafTbs(fields, { kind: "poison" });
const final = formatLeafTbs(fields, { kind: "sctList", list });
const signed = formatCertificate(final, "ecdsa-sha256", softSign(authority.issuing, final));

const read = new X509Certificate(signed);

test("a certificate says to node what was put in", () => {
  expect(read.subject).toBeUndefined();
  expect(read.issuer).toBe("O=test\nCN=test issuing CA");
  expect(read.subjectAltName).toBe("email:user@example.com");
  expect(read.serialNumber).toBe("41".repeat(20));
  expect(read.validFromDate).toEqual(now);
  expect(read.validToDate).toEqual(fields.notAfter);
  expect(read.ca).toBe(false);
  expect(read.keyUsage).toEqual(["1.3.6.1.5.5.7.3.3"]);
  expect(read.checkIssued(new X509Certificate(authority.issuing.der))).toBe(true);
  expect(read.verify(new X509Certificate(authority.issuing.der).publicKey)).toBe(true);
});

test("a certificate has its extensions in Fulcio's order, two of them critical", () => {
  const { extensions } = parseCertificate(signed);
  expect(extensions.map(({ oid }) => oid)).toEqual([
    "2.5.29.15",
    "2.5.29.37",
    "2.5.29.14",
    "2.5.29.35",
    "2.5.29.17",
    "1.3.6.1.4.1.57264.1.1",
    "1.3.6.1.4.1.57264.1.2",
    "1.3.6.1.4.1.57264.1.8",
    "1.3.6.1.4.1.57264.1.9",
    "1.3.6.1.4.1.57264.1.24",
    "1.3.6.1.4.1.11129.2.4.2",
  ]);
  expect(extensions.filter(({ critical }) => critical).map(({ oid }) => oid)).toEqual([
    "2.5.29.15",
    "2.5.29.17",
  ]);
});

test("a certificate is accepted by openssl verify", () => {
  const files = {
    "root.pem": formatPem("CERTIFICATE", authority.root.der),
    "issuing.pem": formatPem("CERTIFICATE", authority.issuing.der),
    "leaf.pem": formatPem("CERTIFICATE", signed),
  };
  const at = String(now.getTime() / 1000 + 1);
  const said = openssl(
    files,
    "verify",
    "-attime",
    at,
    "-x509_strict",
    "-purpose",
    "any",
    "-CAfile",
    "root.pem",
    "-untrusted",
    "issuing.pem",
    "leaf.pem",
  );
  expect(said.output).toContain("leaf.pem: OK");
  expect(said.status).toBe(0);
});

test("a certificate is spelled out by openssl x509", () => {
  const said = openssl(
    { "leaf.der": signed },
    "x509",
    "-inform",
    "DER",
    "-in",
    "leaf.der",
    "-noout",
    "-text",
  );
  expect(said.output).toContain("Version: 3 (0x2)");
  expect(said.output).toContain("X509v3 Key Usage: critical\n                Digital Signature\n");
  expect(said.output).toContain("X509v3 Extended Key Usage: \n                Code Signing\n");
  expect(said.output).toContain(
    "X509v3 Subject Alternative Name: critical\n                email:user@example.com",
  );
  expect(said.output).toContain("CT Precertificate SCTs");
});

test("the precertificate differs from the certificate in its last extension only", () => {
  expect(parseTbs(precertificate).extensions.at(-1)).toEqual({
    oid: "1.3.6.1.4.1.11129.2.4.3",
    critical: true,
    value: Uint8Array.of(5, 0),
  });
  const bare = formatLeafTbs(fields, { kind: "none" });
  expect(withoutPoison(precertificate)).toEqual(bare);
  expect(withoutSctList(final)).toEqual(bare);
  expect(withSctList(bare, list)).toEqual(final);
  expect(correspond(precertificate, final)).toBe(true);
  const unpoisoned = unpoison(precertificate);
  expect(unpoisoned.bare).toEqual(bare);
  expect(unpoisoned.listing(list)).toEqual(final);
});

test("only what ends with a poison is taken for a precertificate", () => {
  const bare = formatLeafTbs(fields, { kind: "none" });
  for (const wrong of [bare, final]) expect(() => unpoison(wrong)).toThrow(Malformed);
});

property.prop([fc.nat({ max: precertificate.length - 1 }), fc.integer({ min: 1, max: 255 })])(
  "what takes the place of the poison is all that differs",
  (place, by) => {
    const damaged = Uint8Array.from(precertificate);
    damaged[place] = (damaged[place] ?? 0) ^ by;
    let found: ReturnType<typeof unpoison> | null = null;
    try {
      found = unpoison(damaged);
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(Malformed);
    }
    if (found === null) return;
    expect(found.listing(list)).toEqual(withSctList(found.bare, list));
    expect(correspond(damaged, found.listing(list))).toBe(true);
  },
);

const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 });
const ascii = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 40 });
const san = fc.oneof(
  fc.record({ kind: fc.constantFrom("email" as const, "uri" as const), value: ascii }),
  fc.record({ kind: fc.constant("otherName" as const), value: text }),
);
const extensions = fc.uniqueArray(
  fc.record({
    arc: fc.constantFrom(2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23),
    value: text,
  }),
  { selector: ({ arc }) => arc, maxLength: 20 },
);

property.prop([
  fc.record({ oidcIssuer: text, subject: text, san, extensions }),
  fc.date({ min: new Date("2000-01-01"), max: new Date("2060-01-01"), noInvalidDate: true }),
])("whatever the principal, what is read is what was written", (claims, at) => {
  const notBefore = new Date(Math.floor(at.getTime() / 1000) * 1000);
  const leaf = {
    ...fields,
    notBefore,
    notAfter: new Date(notBefore.getTime() + 600_000),
    san: claims.san,
    fulcio: fulcioExtensions(claims),
  };
  const window = { notBeforeFrom: notBefore, notBeforeTo: notBefore };
  for (const end of [{ kind: "poison" }, { kind: "sctList", list }] as const) {
    const tbs = formatLeafTbs(leaf, end);
    const checked = checkLeafTbs(tbs, { ...profile, ...window });
    expect(checked).toEqual({ fields: leaf, end });
    expect(namesPrincipal(checked.fields, claims)).toBe(true);
    expect(namesPrincipal(checked.fields, { ...claims, subject: `${claims.subject}x` })).toBe(
      false,
    );
    const values = readFulcioExtensions(parseTbs(tbs));
    expect(values[1]).toBe(claims.oidcIssuer);
    expect(values[8]).toBe(claims.oidcIssuer);
    expect(values[24]).toBe(claims.subject);
    for (const { arc, value } of claims.extensions) expect(values[arc]).toBe(value);
  }
});

property.prop([fc.nat({ max: precertificate.length - 1 }), fc.integer({ min: 1, max: 255 })])(
  "a certificate that differs in any byte does not correspond",
  (at, flip) => {
    const damaged = final.with(at % final.length, (final[at % final.length] ?? 0) ^ flip);
    let answer;
    try {
      answer = correspond(precertificate, damaged);
    } catch (refused) {
      expect(refused).toBeInstanceOf(Malformed);
      return;
    }
    // Only the SCT list itself may be another one.
    if (answer) expect(withoutSctList(damaged)).toEqual(withoutPoison(precertificate));
  },
);

test("a real leaf of Sigstore keeps to the profile", () => {
  const bundle = readVector("sigstore.js@2.0.0-provenance.sigstore.json") as {
    verificationMaterial: { x509CertificateChain: { certificates: { rawBytes: string }[] } };
  };
  const [first] = bundle.verificationMaterial.x509CertificateChain.certificates;
  const leaf = parseCertificate(decodeBase64(first?.rawBytes ?? ""));
  const root = readVector("trusted-root-public-good.json") as {
    certificateAuthorities: { certChain: { certificates: { rawBytes: string }[] } }[];
  };
  const [ca] = root.certificateAuthorities[1]?.certChain.certificates ?? [];
  const { end } = checkLeafTbs(leaf.tbs, {
    issuerName: leaf.issuer,
    authorityKeyId: keyIdentifier(parseCertificate(decodeBase64(ca?.rawBytes ?? "")).publicKey),
    signatureAlgorithm: "ecdsa-sha384",
    maxLifetimeSeconds: 600,
    notBeforeFrom: leaf.notBefore,
    notBeforeTo: leaf.notBefore,
  });
  expect(end.kind).toBe("sctList");
});

test("the first five extensions, byte for byte", () => {
  const { extensions: written } = parseTbs(precertificate);
  expect(written.slice(0, 2).map(({ value }) => encodeHex(value))).toEqual([
    "03020780",
    "300a06082b06010505070303",
  ]);
  expect(encodeHex(written[4]?.value ?? new Uint8Array())).toBe(
    `30128110${encodeHex(encodeUtf8("user@example.com"))}`,
  );
});

function readVector(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../vectors/sigstore/${name}`, import.meta.url), "utf8"));
}
