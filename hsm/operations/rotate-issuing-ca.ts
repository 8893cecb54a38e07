/**
 * Another issuing CA, put into use without a pause: below the same root, or its own root where the CA before it is that. Clients are
 * given it to trust before its first certificate, and the CA before it stays trusted for what it has issued.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeUtf8, encodeUtf8, equalBytes } from "../../core/formats/encoding.ts";
import { formatPem } from "../../core/formats/pem.ts";
import {
  formatTrustedRoot,
  parseTrustedRoot,
  type TrustedAuthority,
  type TrustedRoot,
} from "../../core/formats/trusted-root.ts";
import { formatName, parseCertificate } from "../../core/formats/x509.ts";
import { activateIssuer, trustBundle } from "../../events/issuer.ts";
import { VaultRefused } from "../errors.ts";
import { bind, certificateOf, certify, isSame, type NewAuthority } from "./certify.ts";
import {
  conduct,
  type OperationRequest,
  type OperationResult,
  type OperationStep,
  type OperatorAsk,
  type Site,
} from "./conduct.ts";
import {
  generateInVault,
  type NewTarget,
  openOffline,
  publish,
  requireNewKey,
  trustedRootName,
} from "./steps.ts";

/** Kinds of key that issue: every client reads certificates of these. */
export const issuingAlgorithms = ["ecdsa-p256", "ecdsa-p384", "rsa-3072", "rsa-4096"] as const;

/** What is asked for. */
export interface Rotation extends NewAuthority {
  /** Of the new key: ECDSA P-256 unless said. */
  readonly algorithm?: (typeof issuingAlgorithms)[number] | undefined;
  /** How long clients have the new CA before it issues. */
  readonly holdSeconds: number;
}

/** Rotates. @throws {VaultRefused} with one sentence @throws {Failure} of an ask */
export async function rotateIssuingCa(
  request: OperationRequest,
  rotation: Rotation,
): Promise<OperationResult> {
  const { key, organization, commonName, years, holdSeconds, algorithm } = rotation;
  const certificate = certificateOf(key);
  return await conduct(request, {
    name: `rotate-${key}`,
    parameters: {
      key,
      organization,
      commonName,
      years: String(years),
      holdSeconds: String(holdSeconds),
      ...(algorithm && { algorithm }),
    },
    async precondition() {
      await requireNewKey(request.ask, key);
      await requireNewName(request.ask, rotation);
      if (existsSync(join(request.home, certificate))) {
        throw new VaultRefused(`${join(request.home, certificate)} exists already`);
      }
    },
    steps: [
      openOffline(request.offlineToken, { certifies: true }),
      generateInVault({
        label: key,
        algorithm: algorithm ?? "ecdsa-p256",
        purposes: ["certificate"],
        askers: ["issuer"],
      }),
      certify({ key, organization, commonName, years }),
      bind(key),
      publish(`publish trust in ${key}`, async (published, site) => {
        const root = parseTrustedRoot(decodeUtf8(await published.read(trustedRootName)));
        return withAuthority(root, rotation, site);
      }),
      putIntoUse(key, holdSeconds),
      publish("end the term of the CA before it", async (published, site) => {
        const root = parseTrustedRoot(decodeUtf8(await published.read(trustedRootName)));
        return withoutOthers(root, key, site);
      }),
    ],
  });
}

/** Verifiers look for an issuer by its name, so no two CAs have one. */
async function requireNewName(
  ask: OperatorAsk,
  { organization, commonName }: Rotation,
): Promise<void> {
  const subject = formatName({ organization, commonName });
  const { chains } = await ask(trustBundle, {});
  if (chains.flat().some((one) => equalBytes(parseCertificate(one).subject, subject))) {
    throw new VaultRefused(
      `another CA is called "${commonName}" already; choose another --common-name`,
    );
  }
}

function putIntoUse(key: string, holdSeconds: number): OperationStep {
  return {
    title: `put ${key} into use`,
    async perform({ ask, bench }) {
      const { transcript } = bench;
      const from = transcript.once("trusted from", { key }, () => ({ at: Date.now() }))["at"];
      const waitMs = Number(from) + holdSeconds * 1_000 - Date.now();
      if (waitMs > 0) await sleep(waitMs);
      const { activatedAtMs, lifetimeSeconds } = await ask(activateIssuer, { key });
      const { chains } = await ask(trustBundle, {});
      if (!isSame(chains[0] ?? [], bench.chain(key))) {
        throw new VaultRefused("the issuer says that it issues with another CA");
      }
      transcript.once("in use", { key }, () => ({
        activatedAtMs: Number(activatedAtMs),
        lifetimeSeconds,
      }));
    },
  };
}

function withAuthority(
  root: TrustedRoot,
  { key, organization, commonName }: Rotation,
  { bench }: Site,
): readonly NewTarget[] {
  const [newest] = root.certificateAuthorities;
  if (!newest) throw new VaultRefused("clients trust no CA yet; that takes a genesis");
  const authority: TrustedAuthority = {
    organization,
    commonName,
    uri: newest.uri,
    certificates: bench.chain(key),
    validFor: { start: bench.startedAt, end: null },
  };
  const certificateAuthorities = [authority, ...root.certificateAuthorities];
  const content = formatTrustedRoot({ ...root, certificateAuthorities });
  return [
    { name: trustedRootName, content: encodeUtf8(content) },
    {
      name: `fulcio_${key}.crt.pem`,
      content: encodeUtf8(formatPem("CERTIFICATE", bench.certificate(key))),
      usage: { of: "Fulcio", uri: newest.uri },
    },
  ];
}

/** A CA that issues no more is trusted until its last certificate has expired. */
function withoutOthers(root: TrustedRoot, key: string, { bench }: Site): readonly NewTarget[] {
  const used = bench.transcript.lines.findLast(
    ({ what, detail }) => what === "in use" && detail["key"] === key,
  );
  const activatedAtMs = Number(used?.detail["activatedAtMs"]);
  const lastMs = activatedAtMs + Number(used?.detail["lifetimeSeconds"]) * 1_000;
  const end = new Date(Math.ceil(lastMs / 1_000) * 1_000);
  const own = bench.certificate(key);
  const certificateAuthorities = root.certificateAuthorities.map((authority) => {
    const isOwn = equalBytes(authority.certificates[0] ?? new Uint8Array(), own);
    if (isOwn || authority.validFor.end !== null) return authority;
    return { ...authority, validFor: { ...authority.validFor, end } };
  });
  const content = formatTrustedRoot({ ...root, certificateAuthorities });
  return [{ name: trustedRootName, content: encodeUtf8(content) }];
}
