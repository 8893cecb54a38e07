/** Steps that operations share: opening the offline token, a key in the vault, new targets for clients. */
import { hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { importPublicKey } from "../../core/crypto/keys.ts";
import { durableWrite } from "../../core/durable.ts";
import {
  decodeBase64,
  decodeUtf8,
  encodeBase64,
  encodeHex,
  encodeUtf8,
  equalBytes,
} from "../../core/formats/encoding.ts";
import { parseTrustedRoot } from "../../core/formats/trusted-root.ts";
import * as tuf from "../../core/formats/tuf.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import type { QuestionOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { describeKey, generateKey } from "../../events/hsm.ts";
import { publishTargets } from "../../events/trust.ts";
import type { Bench } from "../ceremony/bench.ts";
import { performOpen, performUse } from "../ceremony/keys.ts";
import { verifyRole } from "../ceremony/tuf-check.ts";
import { VaultRefused } from "../errors.ts";
import { findPublicKey } from "../keyring.ts";
import type { KeyAlgorithm } from "../pkcs11-templates.ts";
import { offline, type OperationStep, type OperatorAsk, type Site, targetsKey } from "./conduct.ts";
import { type Published, readPublished } from "./published.ts";

const pinFile = "secrets/offline-pin";
/** The target that names whom verifiers believe. */
export const trustedRootName = "trusted_root.json";

/** Opens the offline token and finds the key for targets on it, and with `certifies` that of the CA above the one that issues now. */
export function openOffline(
  label: string,
  { certifies }: { readonly certifies: boolean },
): OperationStep {
  return {
    title: `open the token ${label}`,
    async perform({ home, ask, bench }) {
      await performOpen(bench, { step: "openToken", token: offline, label, pinFile });
      const published = await readPublished(home, ask);
      const { root } = published;
      const pinned = root.keys
        .filter(({ keyid }) => root.roles.targets.keyids.includes(keyid))
        .map(({ key }) => tuf.keySpki(key));
      if (pinned.length !== 1) {
        throw new VaultRefused("targets need several signatures here, which takes a ceremony");
      }
      use({ bench }, targetsKey, pinned[0] ?? new Uint8Array());
      if (certifies) await findIssuer(bench, published);
    },
  };
}

/** What certified the CA in use certifies the next one, and everything above it stays above; after a CA that is its own root comes another. */
async function findIssuer(bench: Bench, published: Published): Promise<void> {
  const trusted = parseTrustedRoot(decodeUtf8(await published.read(trustedRootName)));
  const [, own, ...above] = trusted.certificateAuthorities[0]?.certificates ?? [];
  if (!own) {
    bench.transcript.once("certifies itself", {}, () => ({}));
    return;
  }
  const { publicKey } = parseCertificate(own);
  const { module, session } = bench.session(offline);
  const key = module
    .objects(session)
    .filter(
      ({ kind, id }) => kind === "private key" && module.find(session, "public", id).length === 1,
    )
    .find((one) => equalBytes(findPublicKey(module, session, one), publicKey))?.label;
  if (key === undefined) {
    throw new VaultRefused("the offline token does not hold the key that certified the CA in use");
  }
  use({ bench }, key, publicKey);
  for (const [name, certificate] of [
    [key, own] as const,
    ...above.map((one, at) => [`above ${key} ${at + 1}`, one] as const),
  ]) {
    bench.certificates.set(name, certificate);
    bench.transcript.once("existing certificate", { key: name }, () => ({
      der: encodeBase64(certificate),
    }));
  }
  bench.transcript.once("certifies", { key });
}

/** The key of the offline token that certifies in this operation; null where a CA is its own root. */
export function issuerOf({ transcript }: Bench): string | null {
  const found = transcript.lines.findLast(({ what }) => what.startsWith("certifies"));
  if (!found) throw new VaultRefused("the transcript does not say which key certifies");
  return found.what === "certifies" ? String(found.detail["key"]) : null;
}

function use({ bench }: Pick<Site, "bench">, label: string, spki: Uint8Array): void {
  const { algorithm } = importPublicKey(spki);
  const publicKeySha256 = hash("sha256", spki, "hex");
  performUse(bench, {
    step: "useKey",
    token: offline,
    label,
    // Held against the key itself, which is what the hash pins.
    algorithm: algorithm as KeyAlgorithm,
    publicKeySha256,
  });
}

/** @throws {VaultRefused} if the vault has a key of this label: operations make theirs. */
export async function requireNewKey(ask: OperatorAsk, label: string): Promise<void> {
  try {
    await ask(describeKey, { key: label });
  } catch (thrown) {
    if (Failure.from(thrown).code === "key-unavailable") return;
    throw thrown;
  }
  throw new VaultRefused(`the vault has a key "${label}" already; choose a new label`);
}

/** Has the vault make a key. */
export function generateInVault(key: QuestionOf<typeof generateKey>): OperationStep {
  const { label, algorithm } = key;
  return {
    title: `generate ${label} (${algorithm}) in the vault`,
    async perform({ ask, bench }) {
      const { transcript } = bench;
      transcript.once("asked the vault", { ask: generateKey.name, label }, () => ({ ...key }));
      const { publicKey, id } = await ask(generateKey, key);
      const described = await ask(describeKey, { key: label });
      if (!equalBytes(described.publicKey, publicKey)) {
        throw new VaultRefused(`the vault describes "${label}" as another key than it made`);
      }
      const publicKeySha256 = hash("sha256", publicKey, "buffer");
      const told = transcript.once("key", { label }, () => ({
        token: "vault",
        algorithm,
        id: encodeHex(id),
        publicKey: encodeBase64(publicKey),
        publicKeySha256: encodeHex(publicKeySha256),
      }));
      if (told["publicKeySha256"] !== encodeHex(publicKeySha256)) {
        throw new VaultRefused(
          `the vault's "${label}" is not the key that the transcript tells of`,
        );
      }
      const step = { step: "generateKey", token: "vault", label, algorithm } as const;
      const made = { label, id, algorithm, publicKey, publicKeySha256, token: "vault", step };
      bench.keys.set(label, made);
    },
  };
}

/** A target with a new content. */
export interface NewTarget {
  readonly name: string;
  readonly content: Uint8Array;
  /** What clients from before trusted_root.json may use a new one for. */
  readonly usage?: { readonly of: "Fulcio" | "Rekor" | "CTFE"; readonly uri: string };
}

/** Signs the next version of the targets on the offline token and has it published, then reads it as clients do. */
export function publish(
  title: string,
  change: (published: Published, site: Site) => Promise<readonly NewTarget[]>,
): OperationStep {
  return {
    title,
    async perform(site) {
      const { ask, home, bench } = site;
      // A later step may have published since.
      if (bench.transcript.recall("published") !== null) return;
      const recorded = bench.transcript.recall("new targets");
      const detail = recorded ?? (await signTargets(site, change));
      const file = decodeBase64(String(detail["metadata"]));
      const files = readFiles(detail["files"]);
      const done = await ask(publishTargets, { targets: file, files });
      const { targets, read } = await readPublished(home, ask);
      const wanted = tuf.parseTargets(tuf.parseSignedRole(decodeUtf8(file)).signed);
      if (targets.version !== wanted.version) {
        throw new VaultRefused(`targets of version ${targets.version} are served instead`);
      }
      for (const { name, content } of files) {
        if (!equalBytes(await read(name), content)) {
          throw new VaultRefused(`another ${name} is served than was published`);
        }
      }
      await copyToHome(home, files);
      bench.transcript.once("published", { targets: targets.version }, () => ({
        snapshot: done.snapshot,
        timestamp: done.timestamp,
      }));
    },
  };
}

async function signTargets(
  site: Site,
  change: (published: Published, site: Site) => Promise<readonly NewTarget[]>,
): Promise<{ readonly [name: string]: unknown }> {
  const { ask, home, bench } = site;
  const published = await readPublished(home, ask);
  const changed = await change(published, site);
  for (const { name, content } of changed) {
    if (name === trustedRootName) parseTrustedRoot(decodeUtf8(content));
  }
  const version = published.targets.version + 1;
  const { expires } = published.targets;
  const signed = tuf.targetsRole({ version, expires, targets: merge(published, changed) });
  const message = tuf.signedBytes(signed);
  const signature = bench.sign(targetsKey, `TUF targets version ${version}`, message);
  const { keyid } = tuf.tufKey(bench.key(targetsKey).publicKey);
  const file = tuf.formatSignedRole(signed, [{ keyid, sig: encodeHex(signature) }]);
  tuf.checkSignatures(tuf.parseSignedRole(file), "targets", published.root, verifyRole);
  // Killed from here on, exactly this is published when the operation goes on.
  return bench.transcript.once("new targets", {}, () => ({
    version,
    metadata: encodeBase64(encodeUtf8(file)),
    files: changed.map(({ name, content }) => ({ name, content: encodeBase64(content) })),
  }));
}

function merge(
  { targets: { targets } }: Published,
  changed: readonly NewTarget[],
): readonly tuf.Target[] {
  const fresh = changed.map(({ name, content, usage }): tuf.Target => {
    const before = targets.find((target) => target.name === name);
    if (before && usage) throw new VaultRefused(`there is a target ${name} already`);
    const custom = usage
      ? { sigstore: { status: "Active", uri: usage.uri, usage: usage.of } }
      : before?.custom;
    return {
      name,
      length: content.length,
      sha256: hash("sha256", content, "buffer"),
      ...(custom && { custom }),
    };
  });
  const kept = targets.filter(({ name }) => !changed.some((one) => one.name === name));
  return [...kept, ...fresh];
}

/** A line of a transcript is JSON that this file wrote. */
function readFiles(value: unknown): { name: string; content: Uint8Array }[] {
  if (!Array.isArray(value)) throw new VaultRefused("the transcript's new targets have no files");
  return value.map((file: { readonly name?: unknown; readonly content?: unknown }) => ({
    name: String(file.name),
    content: decodeBase64(String(file.content)),
  }));
}

/** The home's own copies, from which its CLI verifies. */
async function copyToHome(
  home: string,
  files: readonly { readonly name: string; readonly content: Uint8Array }[],
): Promise<void> {
  for (const { name, content } of files) {
    const path = join(home, "trust", name);
    const before = await readFile(path).catch(() => null);
    if (before !== null && !equalBytes(before, content)) await durableWrite(path, content);
  }
}
