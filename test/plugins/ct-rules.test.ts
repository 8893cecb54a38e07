/** What an operator configures of chains: purposes, expiry, and certificates that sign nothing but precertificates. */
import { describe, expect, test } from "vitest";
import { sha256 } from "../../core/crypto/hash.ts";
import * as der from "../../core/formats/der.ts";
import { precertChainExtra } from "../../core/formats/sct.ts";
import {
  type Extension,
  extensionOids,
  formatName,
  formatTbs,
  keyPurposes,
  parseCertificate,
} from "../../core/formats/x509.ts";
import { acceptChain, type ChainRules, readTrust } from "../../plugins/ct/chain.ts";
import { purposeOids } from "../../plugins/ct/purposes.ts";
import {
  basicConstraints,
  certificate,
  certSign,
  codeSigning,
  softAuthority,
  softKey,
} from "../crypto/soft-authority.ts";

const now = new Date("2026-11-21T12:00:00Z");
const day = 86_400_000;
const validity = {
  notBefore: new Date(now.getTime() - day),
  notAfter: new Date(now.getTime() + day),
};
const authority = softAuthority(now);
const rules: ChainRules = { purposes: purposeOids(["codeSigning"]), rejectExpired: false, now };
const key = softKey();
const signer = softKey();
const signerName = formatName({ commonName: "signs precertificates" });
const poison: Extension = {
  oid: extensionOids.poison,
  critical: true,
  value: der.nullValue(),
};

const trusting = () => readTrust([authority.chain], rules);
const purposes = (...oids: readonly string[]): Extension => ({
  oid: extensionOids.extendedKeyUsage,
  critical: false,
  value: der.sequence(...oids.map(der.oid)),
});
const keyId = (fill: number): Extension => ({
  oid: extensionOids.authorityKeyIdentifier,
  critical: false,
  value: der.sequence(der.implicit(0, new Uint8Array(20).fill(fill))),
});

/** A Precertificate Signing Certificate below the issuing CA, whose path length is 0. */
function signerCertificate(...extensions: readonly Extension[]): Uint8Array {
  return below([certSign, basicConstraints(null), ...extensions]);
}

function leaf(...extensions: readonly Extension[]): Uint8Array {
  return certificate(signer, "ecdsa-sha256", {
    ...validity,
    issuer: signerName,
    subject: der.sequence(),
    publicKey: key.spki,
    extensions,
  });
}

/** Something of the signer's name and key below the issuing CA. */
function below(extensions: readonly Extension[], notAfter = validity.notAfter): Uint8Array {
  return certificate(authority.issuing, "ecdsa-sha256", {
    notBefore: validity.notBefore,
    notAfter,
    issuer: authority.issuing.name,
    subject: signerName,
    publicKey: signer.spki,
    extensions,
  });
}

/** A precertificate by a signer of precertificates that another one certified. */
function two(): readonly Uint8Array[] {
  const other = softKey();
  const name = formatName({ commonName: "one more" });
  const second = certificate(signer, "ecdsa-sha256", {
    ...validity,
    issuer: signerName,
    subject: name,
    publicKey: other.spki,
    extensions: signing,
  });
  const pre = certificate(other, "ecdsa-sha256", {
    ...validity,
    issuer: name,
    subject: der.sequence(),
    publicKey: key.spki,
    extensions: [codeSigning, poison],
  });
  return [pre, second, signerCertificate(ctOnly)];
}

const ctOnly = purposes(keyPurposes.precertificateSigning);
const signing = [certSign, basicConstraints(null), ctOnly];

describe("a certificate that signs precertificates", () => {
  test.each<[string, readonly Extension[], readonly Extension[], readonly Extension[]]>([
    ["replaces the key identifier", [keyId(1)], [keyId(2), codeSigning], [keyId(1), codeSigning]],
    ["adds it at the end", [keyId(1)], [codeSigning], [codeSigning, keyId(1)]],
    ["takes it away", [], [codeSigning, keyId(2)], [codeSigning]],
    ["leaves none", [], [codeSigning], [codeSigning]],
  ])("%s, and the issuer is who will issue", (_, above, own, logged) => {
    const signing = signerCertificate(ctOnly, ...above);
    const pre = leaf(...own, poison);
    const chain = [pre, signing, authority.issuing.der];
    const { entry } = acceptChain("precertificate", chain, trusting(), rules);
    const parsed = parseCertificate(pre);
    const tbs = formatTbs({
      ...parsed,
      signatureAlgorithm: "ecdsa-sha256",
      issuer: authority.issuing.name,
      extensions: [...logged],
    });
    expect(entry).toEqual({
      kind: "precertificate",
      issuerKeyHash: sha256(authority.issuing.spki),
      tbs,
      extraData: precertChainExtra(pre, [signing, authority.issuing.der, authority.root.der]),
    });
  });

  test("signs precertificates only", () => {
    const chain = [leaf(codeSigning), signerCertificate(ctOnly), authority.issuing.der];
    const trust = trusting();
    // Not even after the log has seen it do what it may.
    const pre = [leaf(codeSigning, poison), ...chain.slice(1)];
    acceptChain("precertificate", pre, trust, rules);
    expect(() => acceptChain("certificate", chain, trust, rules)).toThrow("purpose");
  });
});

describe("one that signs precertificates", () => {
  test.each<[string, () => readonly Uint8Array[], string]>([
    [
      "that has no CT purpose counts in the path",
      () => [leaf(codeSigning, poison), signerCertificate(codeSigning)],
      "path is too long",
    ],
    ["that is no CA", () => [leaf(codeSigning, poison), below([ctOnly])], "no CA"],
    [
      "that has ended",
      () => [leaf(codeSigning, poison), below(signing, new Date(now.getTime() - 1_000))],
      "not valid now",
    ],
    ["below another of its kind", two, "purpose"],
  ])("%s: refused", (_, make, why) => {
    const chain = [...make(), authority.issuing.der];
    expect(() => acceptChain("precertificate", chain, trusting(), rules)).toThrow(why);
  });
});

const direct = (notAfter: Date, ...extensions: readonly Extension[]) =>
  certificate(authority.issuing, "ecdsa-sha256", {
    notBefore: validity.notBefore,
    notAfter,
    issuer: authority.issuing.name,
    subject: der.sequence(),
    publicKey: key.spki,
    extensions,
  });

test.each([
  [0, true],
  [-1_000, false],
])("where expired leaves are refused, one that ends %i ms from now is taken: %s", (ms, taken) => {
  const chain = [direct(new Date(now.getTime() + ms), codeSigning), authority.issuing.der];
  const add = () =>
    acceptChain("certificate", chain, trusting(), { ...rules, rejectExpired: true });
  if (taken) expect(add().notAfter).toEqual(now);
  else expect(add).toThrow("has ended");
});

describe("purposes", () => {
  const mail = "1.3.6.1.5.5.7.3.4";
  const any = "2.5.29.37.0";
  test.each([
    ["the default", ["codeSigning"], [keyPurposes.codeSigning], true],
    ["another one", ["codeSigning"], [mail], false],
    ["any, which names none", ["codeSigning"], [any], false],
    ["one of two", ["codeSigning", "emailProtection"], [mail], true],
    ["an identifier of one's own", ["1.3.9999.1"], ["1.3.9999.1"], true],
  ] as const)("%s", (_, wanted, found, taken) => {
    const soft = softAuthority(now, {
      extensions: [certSign, basicConstraints(0n), purposes(...found, any)],
    });
    const ruled = { ...rules, purposes: purposeOids(wanted) };
    const trust = readTrust([soft.chain], ruled);
    const one = certificate(soft.issuing, "ecdsa-sha256", {
      ...validity,
      issuer: soft.issuing.name,
      subject: der.sequence(),
      publicKey: key.spki,
      extensions: [purposes(...found)],
    });
    const add = () => acceptChain("certificate", [one, soft.issuing.der], trust, ruled).entry.kind;
    if (taken) expect(add()).toBe("certificate");
    else expect(add).toThrow("purpose");
  });
});
