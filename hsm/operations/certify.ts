/** The certificate of the next issuing CA: by the key above it on the offline token, or by itself in the vault. */
import { hash, X509Certificate } from "node:crypto";
import { decodeHex, encodeBase64, encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import { formatPem } from "../../core/formats/pem.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { bindChain, certifySelf, describeKey } from "../../events/hsm.ts";
import { performIssuing, randomSerial, yearsAfter } from "../ceremony/authorities.ts";
import { lintRules } from "../ceremony/lint.ts";
import { verifyByOpenssl, verifyElsewhere } from "../ceremony/second-opinion.ts";
import { VaultRefused } from "../errors.ts";
import { ownRootTbs } from "../own-root.ts";
import type { OperationStep, Site } from "./conduct.ts";
import { issuerOf } from "./steps.ts";

/** What a CA's certificate says, and where it is written. */
export interface NewAuthority {
  /** Label of its key. */
  readonly key: string;
  readonly organization: string;
  readonly commonName: string;
  readonly years: number;
}

/** Where the certificate of a CA is kept, below the home. */
export function certificateOf(key: string): string {
  return `trust/${key}.pem`;
}

/** Certifies a key that the vault has made. */
export function certify(authority: NewAuthority): OperationStep {
  return {
    title: `certify ${authority.key}`,
    perform: async (site) => {
      const issuer = issuerOf(site.bench);
      const out = certificateOf(authority.key);
      if (issuer === null) await byItself(site, authority, out);
      else
        await performIssuing(site.bench, { step: "issuingCertificate", ...authority, issuer, out });
    },
  };
}

/** Has the vault take the certificate. One that signed itself the vault has taken already. */
export function bind(key: string): OperationStep {
  return {
    title: `give ${key} its certificate in the vault`,
    async perform({ ask, bench }) {
      const chain = bench.chain(key);
      if (issuerOf(bench) !== null) await ask(bindChain, { key, chain });
      const described = await ask(describeKey, { key });
      if (!isSame(described.chain ?? [], chain)) {
        throw new VaultRefused(`the vault describes "${key}" with another chain`);
      }
      bench.transcript.once("bound", { key }, () => ({
        chainSha256: chain.map((one) => hash("sha256", one, "hex")),
      }));
    },
  };
}

/** True if two chains are of the same certificates. */
export function isSame(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.map(encodeBase64).join() === b.map(encodeBase64).join();
}

/** What the vault gives is held against what it was asked for, and against others' opinion, as if a ceremony had made it. */
async function byItself({ ask, bench }: Site, authority: NewAuthority, out: string): Promise<void> {
  const { key, organization, commonName, years } = authority;
  const { transcript, startedAt } = bench;
  const drawn = () => ({ serial: encodeHex(randomSerial()) });
  const { serial } = transcript.once("serial number", { key }, drawn);
  const fields = {
    organization,
    commonName,
    serial: decodeHex(String(serial)),
    notBeforeMs: BigInt(startedAt.getTime()),
    notAfterMs: BigInt(yearsAfter(startedAt, years).getTime()),
  };
  const tbs = ownRootTbs(bench.key(key), fields);
  const tbsSha256 = hash("sha256", tbs, "hex");
  transcript.once("linted", { key, kind: "single", tbsSha256 }, () => ({ rules: lintRules }));
  const { certificate } = await ask(certifySelf, { key, ...fields });
  if (!equalBytes(parseCertificate(certificate).tbs, tbs)) {
    throw new VaultRefused("the vault gave another certificate than it was asked for");
  }
  await verifyElsewhere(certificate, bench.key(key).publicKey);
  const openssl = verifyByOpenssl([certificate]);
  bench.certificates.set(key, certificate);
  await bench.outputs.write(out, formatPem("CERTIFICATE", certificate));
  const read = new X509Certificate(certificate);
  transcript.once("certificate", { key }, () => ({
    kind: "single",
    issuer: key,
    der: encodeBase64(certificate),
    sha256: hash("sha256", certificate, "hex"),
    subject: read.subject,
    notAfter: read.validToDate.toISOString(),
    verifiedBy: ["@peculiar/x509", ...(openssl ? ["openssl"] : [])],
  }));
}
