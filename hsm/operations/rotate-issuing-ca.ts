/**
 * Another issuing CA below the same root, put into use without a pause: clients are given it to trust before its first certificate, and
 * the CA before it stays trusted for what it has issued.
 */
import { hash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeUtf8, encodeBase64, encodeUtf8, equalBytes } from "../../core/formats/encoding.ts";
import { formatPem } from "../../core/formats/pem.ts";
import {
  formatTrustedRoot,
  parseTrustedRoot,
  type TrustedAuthority,
  type TrustedRoot,
} from "../../core/formats/trusted-root.ts";
import { bindChain, describeKey } from "../../events/hsm.ts";
import { activateIssuer, trustBundle } from "../../events/issuer.ts";
import { performIssuing } from "../ceremony/authorities.ts";
import { VaultRefused } from "../errors.ts";
import {
  conduct,
  type OperationRequest,
  type OperationResult,
  type OperationStep,
  type Site,
} from "./conduct.ts";
import {
  generateInVault,
  issuerOf,
  type NewTarget,
  openOffline,
  publish,
  requireNewKey,
  trustedRootName,
} from "./steps.ts";

/** What is asked for. */
export interface Rotation {
  /** Label of the new key. */
  readonly key: string;
  readonly organization: string;
  readonly commonName: string;
  readonly years: number;
  /** How long clients have the new CA before it issues. */
  readonly holdSeconds: number;
}

/** Rotates. @throws {VaultRefused} with one sentence @throws {Failure} of an ask */
export async function rotateIssuingCa(
  request: OperationRequest,
  rotation: Rotation,
): Promise<OperationResult> {
  const { key, organization, commonName, years, holdSeconds } = rotation;
  const certificate = `trust/${key}.pem`;
  return await conduct(request, {
    name: `rotate-${key}`,
    parameters: {
      key,
      organization,
      commonName,
      years: String(years),
      holdSeconds: String(holdSeconds),
    },
    async precondition() {
      await requireNewKey(request.ask, key);
      if (existsSync(join(request.home, certificate))) {
        throw new VaultRefused(`${join(request.home, certificate)} exists already`);
      }
    },
    steps: [
      openOffline(request.offlineToken, { certifies: true }),
      generateInVault({
        label: key,
        algorithm: "ecdsa-p256",
        purposes: ["certificate"],
        askers: ["issuer"],
      }),
      {
        title: `certify ${key}`,
        perform: async ({ bench }) => {
          const issuer = { organization, commonName, years, out: certificate };
          await performIssuing(bench, {
            step: "issuingCertificate",
            key,
            issuer: issuerOf(bench),
            ...issuer,
          });
        },
      },
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

function bind(key: string): OperationStep {
  return {
    title: `give ${key} its certificate in the vault`,
    async perform({ ask, bench }) {
      const chain = bench.chain(key);
      await ask(bindChain, { key, chain });
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

function isSame(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.map(encodeBase64).join() === b.map(encodeBase64).join();
}
