import { describe, expect, test } from "vitest";
import { sha256 } from "../../core/crypto/hash.ts";
import * as der from "../../core/formats/der.ts";
import { concat } from "../../core/formats/encoding.ts";
import { fulcioExtensions } from "../../core/formats/fulcio-oids.ts";
import { formatLeafTbs, type LeafEnd, withoutPoison } from "../../core/formats/leaf-profile.ts";
import { certificateChainExtra, formatSctList, precertChainExtra } from "../../core/formats/sct.ts";
import {
  type Extension,
  extensionOids,
  formatCertificate,
  formatName,
  formatTbs,
  keyPurposes,
  parseTbs,
} from "../../core/formats/x509.ts";
import { acceptChain, type ChainRules, readTrust } from "../../plugins/ct/chain.ts";
import {
  type AuthorityChanges,
  basicConstraints,
  certificate,
  certSign,
  codeSigning,
  softAuthority,
  softKey,
  softSign,
  subjectKeyId,
} from "../crypto/soft-authority.ts";
import { principal } from "./issuer-rooms.ts";

const now = new Date("2026-11-21T12:00:00Z");
const authority = softAuthority(now);
const [issuing, root] = [authority.issuing.der, authority.root.der];
const rules: ChainRules = {
  purposes: new Set([keyPurposes.codeSigning]),
  rejectExpired: false,
  now,
};
const trust = readTrust([authority.chain], rules);
const key = softKey();
const poisoned = leafTbs({ kind: "poison" });
const precertificate = sign(poisoned);
const final = sign(leafTbs({ kind: "none" }));

function leafTbs(end: LeafEnd): Uint8Array {
  return formatLeafTbs(
    {
      serial: new Uint8Array(20).fill(0x41),
      issuerName: authority.issuing.name,
      authorityKeyId: authority.issuing.keyId,
      signatureAlgorithm: "ecdsa-sha256",
      notBefore: now,
      notAfter: new Date(now.getTime() + 600_000),
      publicKey: key.spki,
      san: principal.san,
      fulcio: fulcioExtensions(principal),
    },
    end,
  );
}

function sign(tbs: Uint8Array, signer = authority.issuing): Uint8Array {
  return formatCertificate(tbs, "ecdsa-sha256", softSign(signer, tbs));
}

/** The precertificate with its extensions changed, signed. */
function changed(change: (extensions: readonly Extension[]) => readonly Extension[]): Uint8Array {
  const parsed = parseTbs(poisoned);
  const extensions = change(parsed.extensions);
  return sign(formatTbs({ ...parsed, signatureAlgorithm: "ecdsa-sha256", extensions }));
}

const withPoison = (poison: Partial<Extension>) =>
  changed((all) =>
    all.map((extension) =>
      extension.oid === extensionOids.poison ? { ...extension, ...poison } : extension,
    ),
  );

/** Our chain, but with an issuing CA that is not as it should be, under the root that is trusted. */
function under(changes: AuthorityChanges) {
  const other = softAuthority(now, changes);
  const parsed = parseTbs(poisoned);
  const tbs = formatTbs({
    ...parsed,
    signatureAlgorithm: "ecdsa-sha256",
    issuer: other.issuing.name,
  });
  const { roots } = readTrust([[other.root.der]], rules);
  return { chain: [sign(tbs, other.issuing), other.issuing.der], trust: { roots, chains: [] } };
}

const ca = (...extra: readonly Extension[]) => ({ extensions: [...extra] });

describe("takes", () => {
  test.each([
    ["without", [issuing]],
    ["with", [issuing, root]],
  ])("a precertificate %s the root", (_, above) => {
    expect(acceptChain("precertificate", [precertificate, ...above], trust, rules).entry).toEqual({
      kind: "precertificate",
      issuerKeyHash: sha256(authority.issuing.spki),
      tbs: withoutPoison(poisoned),
      extraData: precertChainExtra(precertificate, [issuing, root]),
    });
  });

  test("a certificate", () => {
    expect(acceptChain("certificate", [final, issuing], trust, rules).entry).toEqual({
      kind: "certificate",
      certificate: final,
      extraData: certificateChainExtra([issuing, root]),
    });
  });

  test("a chain that was not seen before, under a known root", () => {
    const { chain, trust: others } = under({});
    expect(acceptChain("precertificate", chain, others, rules).entry.kind).toBe("precertificate");
  });

  test("a leaf right below the root", () => {
    const leaf = certificate(authority.root, "ecdsa-sha384", {
      issuer: authority.root.name,
      subject: der.sequence(),
      notBefore: now,
      notAfter: now,
      publicKey: key.spki,
      extensions: [codeSigning],
    });
    expect(acceptChain("certificate", [leaf], trust, rules).entry).toMatchObject({
      extraData: certificateChainExtra([root]),
    });
  });

  test("an expired leaf: logs are for looking back", () => {
    const later = new Date(now.getTime() + 3_600_000);
    expect(
      acceptChain("certificate", [final, issuing], trust, { ...rules, now: later }).entry.kind,
    ).toBe("certificate");
  });
});

const foreign = softAuthority(now);
const good = [precertificate, issuing];
const precertificates: readonly [string, () => readonly Uint8Array[]][] = [
  ["no certificate", () => []],
  ["garbage", () => [Uint8Array.of(1, 2, 3)]],
  ["garbage above", () => [precertificate, Uint8Array.of(1, 2, 3)]],
  ["a leaf without its issuer", () => [precertificate]],
  ["a leaf right below the root that is not", () => [precertificate, root]],
  ["a trailing byte", () => [concat(precertificate, Uint8Array.of(0)), issuing]],
  [
    "a broken signature",
    () => [precertificate.with(-1, (precertificate.at(-1) ?? 0) ^ 1), issuing],
  ],
  ["another issuer's signature", () => [sign(poisoned, foreign.issuing), issuing]],
  [
    "a foreign chain",
    () => [sign(poisoned, foreign.issuing), foreign.issuing.der, foreign.root.der],
  ],
  ["a chain out of order", () => [precertificate, root, issuing]],
  ["a leaf at the end", () => [issuing, precertificate]],
  ["the leaf twice", () => [precertificate, precertificate, issuing]],
  ["the issuer twice", () => [precertificate, issuing, issuing]],
  ["the root twice", () => [...good, root, root]],
  ["something above the root", () => [...good, root, foreign.root.der]],
  ["an unrelated certificate", () => [precertificate, foreign.issuing.der, issuing]],
  ["a certificate", () => [final, issuing]],
  ["a poison that is not critical", () => [withPoison({ critical: false }), issuing]],
  ["a poison that is no NULL", () => [withPoison({ value: Uint8Array.of(4, 0) }), issuing]],
  [
    "a poison with something behind it",
    () => [withPoison({ value: Uint8Array.of(5, 0, 0) }), issuing],
  ],
  ["two poisons", () => [changed((all) => [...all, ...all.slice(-1)]), issuing]],
  ["poison and SCT list", () => [changed((all) => [...all, sctList()]), issuing]],
  [
    "no key purpose",
    () => [
      changed((all) => all.filter(({ oid }) => oid !== extensionOids.extendedKeyUsage)),
      issuing,
    ],
  ],
  [
    "another key purpose",
    () => [
      changed((all) =>
        all.map((one) =>
          one.oid === extensionOids.extendedKeyUsage
            ? { ...one, value: der.sequence(der.oid(keyPurposes.timeStamping)) }
            : one,
        ),
      ),
      issuing,
    ],
  ],
  ["a negative serial", () => [negativeSerial(), issuing]],
];

test.each(precertificates)("add-pre-chain refuses %s", (_, make) => {
  expect(() => acceptChain("precertificate", make(), trust, rules)).toThrow(
    expect.objectContaining({ code: "chain-rejected" }),
  );
});

test("add-chain refuses a precertificate", () => {
  expect(() => acceptChain("certificate", [precertificate, issuing], trust, rules)).toThrow(
    "add-pre-chain",
  );
});

const past = new Date(now.getTime() - 86_400_000);
const future = new Date(now.getTime() + 86_400_000);
const brokenCas: readonly [string, AuthorityChanges][] = [
  ["no CA", ca(certSign)],
  ["no CA by its own word", ca(certSign, { ...basicConstraints(null), value: der.sequence() })],
  [
    "a CA that may not sign certificates",
    ca(basicConstraints(0n), {
      oid: extensionOids.keyUsage,
      critical: true,
      value: der.bitString(Uint8Array.of(0x80), 7),
    }),
  ],
  [
    "a CA for timestamps",
    ca(certSign, basicConstraints(0n), {
      oid: extensionOids.extendedKeyUsage,
      critical: false,
      value: der.sequence(der.oid(keyPurposes.timeStamping)),
    }),
  ],
  ["an expired CA", { notAfter: past }],
  ["a CA of the future", { notBefore: future }],
];

test.each(brokenCas)("refuses a chain with %s", (_, changes) => {
  const { chain, trust: others } = under(changes);
  expect(() => acceptChain("precertificate", chain, others, rules)).toThrow(
    expect.objectContaining({ code: "chain-rejected" }),
  );
});

test("refuses a CA below one whose path length is 0", () => {
  const sub = softKey();
  const subName = formatName({ commonName: "sub" });
  const validity = { notBefore: past, notAfter: future };
  const subCa = certificate(authority.issuing, "ecdsa-sha256", {
    ...validity,
    issuer: authority.issuing.name,
    subject: subName,
    publicKey: sub.spki,
    extensions: [certSign, codeSigning, basicConstraints(null), subjectKeyId(sub.spki)],
  });
  const leaf = certificate(sub, "ecdsa-sha256", {
    ...validity,
    issuer: subName,
    subject: der.sequence(),
    publicKey: key.spki,
    extensions: [codeSigning],
  });
  expect(() => acceptChain("certificate", [leaf, subCa, issuing], trust, rules)).toThrow(
    "the path is too long",
  );
});

test("refuses our own chain once it has expired", () => {
  const late = new Date(now.getTime() + 400 * 86_400_000);
  expect(() => acceptChain("precertificate", good, trust, { ...rules, now: late })).toThrow(
    "not valid now",
  );
});

test("refuses to start with a chain that does not hold together", () => {
  expect(() => readTrust([[issuing, foreign.root.der]], rules)).toThrow(
    expect.objectContaining({ code: "chain-rejected" }),
  );
});

function sctList(): Extension {
  const list = formatSctList([
    {
      logId: new Uint8Array(32),
      timestampMs: 0n,
      extensions: new Uint8Array(),
      signature: Uint8Array.of(4, 3, 0, 0),
    },
  ]);
  return { oid: extensionOids.sctList, critical: false, value: der.octetString(list) };
}

function negativeSerial(): Uint8Array {
  const elements = der
    .readDer(poisoned)
    .children()
    .map(({ encoded }) => encoded);
  return sign(der.sequence(...elements.with(1, der.integer(-5n))));
}
