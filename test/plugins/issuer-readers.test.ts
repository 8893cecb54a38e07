/** Certificates as others read them: openssl, pkijs, @peculiar/x509 and @sigstore/verify, for every kind of name and CA key. */
import "reflect-metadata";
import { createPublicKey } from "node:crypto";
import { X509Certificate as PeculiarCertificate } from "@peculiar/x509";
import { X509Certificate as SigstoreCertificate } from "@sigstore/core";
import { Verifier } from "@sigstore/verify";
import { Certificate } from "pkijs";
import { expect, test } from "vitest";
import { sha256 } from "../../core/crypto/hash.ts";
import { encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { formatPem } from "../../core/formats/pem.ts";
import type { Principal } from "../../events/identity.ts";
import { authorityKeys, softChain } from "../crypto/soft-chain.ts";
import { openssl } from "../formats/openssl.ts";
import { boot, key, prove } from "./issuer-house.ts";
import { issuerRooms, principal, startMs } from "./issuer-rooms.ts";

const arcs = [2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];
const extensions = arcs.map((arc) => ({ arc, value: `value & <${arc}>` }));
const workflow = "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main";
const people: readonly Principal[] = [
  { ...principal, extensions },
  { ...principal, san: { kind: "uri", value: workflow }, extensions },
  { ...principal, san: { kind: "otherName", value: "user!corp.example" } },
];
const algorithms = Object.keys(authorityKeys) as (keyof typeof authorityKeys)[]; // keys of a const object
const cases = algorithms.flatMap((algorithm) => {
  const authority = softChain(new Date(startMs), "issuing", algorithm);
  return people.map((who) => ({ algorithm, who, authority }));
});

/** Issues under a root and an issuing CA of that algorithm. */
async function issued({ algorithm, who, authority }: (typeof cases)[number]) {
  const rooms = issuerRooms({ authority, algorithm });
  rooms.principal = who;
  await using house = await boot(rooms);
  const proof = prove(key, who.challenge);
  const { chain } = await house.issue({ proof });
  return { chain, leaf: chain[0] ?? new Uint8Array(), logKey: rooms.logKey.spki };
}

/** Every extension, in order. */
function oidsOf({ who }: (typeof cases)[number]): readonly string[] {
  const numbers = [1, ...who.extensions.map(({ arc }) => arc), 8, 24].sort((a, b) => a - b);
  const fulcio = numbers.map((n) => `1.3.6.1.4.1.57264.1.${n}`);
  const first = ["2.5.29.15", "2.5.29.37", "2.5.29.14", "2.5.29.35", "2.5.29.17"];
  return first.concat(fulcio, "1.3.6.1.4.1.11129.2.4.2");
}

interface Names {
  readonly altNames: readonly { readonly type: number; readonly value: unknown }[];
}

test.for(cases)(
  "a certificate for $who.san.kind, signed $algorithm, is read by pkijs",
  async (given) => {
    const { who } = given;
    const { leaf } = await issued(given);
    const read = Certificate.fromBER(leaf);
    expect(read.version).toBe(2);
    expect(read.subject.typesAndValues).toEqual([]);
    expect(read.extensions?.map(({ extnID }) => extnID)).toEqual(oidsOf(given));
    expect(read.notAfter.value.getTime() - read.notBefore.value.getTime()).toBe(600_000);
    const san = read.extensions?.find(({ extnID }) => extnID === "2.5.29.17");
    expect(san?.critical).toBe(true);
    const named = (san?.parsedValue as Names | undefined)?.altNames ?? [];
    expect(named.map(({ type }) => type)).toEqual([
      { otherName: 0, email: 1, uri: 6 }[who.san.kind],
    ]);
    if (who.san.kind !== "otherName") expect(named[0]?.value).toBe(who.san.value);
    const token = read.extensions?.find(({ extnID }) => extnID.endsWith("57264.1.24"));
    expect(encodeHex(new Uint8Array(token?.extnValue.valueBlock.valueHexView ?? []))).toBe(
      `0c${who.subject.length.toString(16).padStart(2, "0")}${encodeHex(encodeUtf8(who.subject))}`,
    );
  },
);

test.for(cases)(
  "a certificate for $who.san.kind, signed $algorithm, is read and verified by @peculiar/x509",
  async (given) => {
    const { leaf, chain } = await issued(given);
    const read = new PeculiarCertificate(leaf);
    const above = new PeculiarCertificate(chain[1] ?? leaf);
    expect(read.extensions.map(({ type }) => type)).toEqual(oidsOf(given));
    expect(read.extensions.filter(({ critical }) => critical)).toHaveLength(2);
    expect(read.subject).toBe("");
    const at = new Date(startMs + 1_000);
    expect(await read.verify({ publicKey: await above.publicKey.export(), date: at })).toBe(true);
  },
);

test.for(cases)(
  "a certificate for $who.san.kind, signed $algorithm, is verified by openssl, the whole chain, and shows one SCT",
  async (given) => {
    const { chain, leaf } = await issued(given);
    const files = {
      "root.pem": formatPem("CERTIFICATE", chain[2] ?? leaf),
      "issuing.pem": formatPem("CERTIFICATE", chain[1] ?? leaf),
      "leaf.pem": formatPem("CERTIFICATE", leaf),
    };
    const at = ["-attime", String(startMs / 1_000 + 1), "-x509_strict", "-purpose", "any"];
    const trust = ["-CAfile", "root.pem", "-untrusted", "issuing.pem", "leaf.pem"];
    expect(openssl(files, "verify", ...at, ...trust).output).toContain("leaf.pem: OK");
    const { output } = openssl(files, "x509", "-in", "leaf.pem", "-noout", "-text");
    expect(output.match(/Signed Certificate Timestamp:/g)).toHaveLength(1);
    expect(output).toContain("Version: 3 (0x2)");
  },
);

test.for(cases)(
  "a certificate for $who.san.kind, signed $algorithm, is verified by @sigstore/verify, SCT included",
  async (given) => {
    const { who } = given;
    const { chain, leaf, logKey } = await issued(given);
    const parse = (der: Uint8Array): SigstoreCertificate =>
      SigstoreCertificate.parse(Buffer.from(der));
    const validFor = { start: new Date(startMs - 1_000), end: new Date(startMs + 86_400_000) };
    const publicKey = createPublicKey({ key: Buffer.from(logKey), format: "der", type: "spki" });
    const logID = Buffer.from(sha256(logKey));
    const verifier = new Verifier(
      {
        certificateAuthorities: [{ certChain: chain.slice(1).map(parse), validFor }],
        timestampAuthorities: [],
        tlogs: [],
        ctlogs: [{ logID, baseURL: "http://localhost", publicKey, validFor }],
        publicKey: () => {
          throw new Error("there are no keys");
        },
      },
      { tlogThreshold: 0, ctlogThreshold: 1 },
    );
    const entry = {
      integratedTime: String(startMs / 1_000 + 1),
      inclusionPromise: {},
      logId: { keyId: logID },
    };
    const signer = verifier.verify(
      {
        key: { $case: "certificate", certificate: parse(leaf) },
        tlogEntries: [],
        timestamps: [{ $case: "transparency-log", tlogEntry: entry as never }],
        signature: {
          signature: Buffer.alloc(0),
          compareSignature: () => true,
          compareDigest: () => true,
          compareSignedDigest: () => true,
          verifySignature: () => true,
        },
      },
      { extensions: { issuer: who.oidcIssuer } },
    );
    expect(signer.identity?.extensions?.issuer).toBe(who.oidcIssuer);
    if (who.san.kind !== "otherName") {
      expect(signer.identity?.subjectAlternativeName).toBe(who.san.value);
    }
  },
);
