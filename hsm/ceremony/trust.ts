/** What clients are given to trust: trusted root, signing configuration, and the first root and targets of the TUF repository. */
import { hash, verify } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { noteKeyId } from "../../core/formats/note.ts";
import { formatPem } from "../../core/formats/pem.ts";
import { formatSigningConfig, parseSigningConfig } from "../../core/formats/signing-config.ts";
import {
  formatTrustedRoot,
  logKeyDetails,
  parseTrustedRoot,
} from "../../core/formats/trusted-root.ts";
import * as tuf from "../../core/formats/tuf.ts";
import { keyObject } from "../public-key.ts";
import type { Bench } from "./bench.ts";
import type { StepOf } from "./script.ts";

const dayMs = 86_400_000;

/** Trusted root and signing configuration, naming only what this instance runs. */
export async function performTrust(bench: Bench, step: StepOf<"trustMaterial">): Promise<void> {
  const validFor = { start: bench.startedAt, end: null };
  const log = (baseUrl: string, label: string) => {
    const { publicKey, algorithm, step: made } = bench.key(label);
    const noteName = "noteName" in made ? (made.noteName ?? made.origin) : undefined;
    const logId = noteKeyId(noteName ?? new URL(baseUrl).hostname, publicKey);
    return { baseUrl, publicKey, validFor, logId, keyDetails: logKeyDetails(algorithm) };
  };
  const trustedRoot = formatTrustedRoot({
    tlogs: [
      log(step.origin, step.logKey),
      ...(step.logV2 ? [log(step.origin, step.logV2.key)] : []),
    ],
    certificateAuthorities: [
      {
        organization: step.operator,
        commonName: step.commonName,
        uri: step.origin,
        certificates: bench.chain(step.issuingKey),
        validFor,
      },
    ],
    ctlogs: [log(step.ctUrl, step.ctKey)],
    timestampAuthorities: step.timestamps
      ? [
          {
            organization: step.operator,
            commonName: step.timestamps.commonName,
            uri: step.timestamps.url,
            certificates: bench.chain(step.timestamps.key),
            validFor,
          },
        ]
      : [],
  });
  parseTrustedRoot(trustedRoot);
  const { operator } = step;
  const service = (url: string, majorApiVersion = 1) => ({
    url,
    majorApiVersion,
    validFor,
    operator,
  });
  const services = {
    caUrls: [service(step.origin)],
    oidcUrls: [service(step.issuer)],
    rekorTlogUrls: [service(step.origin)],
    tsaUrls: step.timestamps ? [service(step.timestamps.url)] : [],
  };
  const signingConfig = formatSigningConfig(services);
  parseSigningConfig(signingConfig);
  await bench.outputs.write(step.trustedRootOut, trustedRoot);
  await bench.outputs.write(step.signingConfigOut, signingConfig);
  if (!step.logV2) return;
  const rekorTlogUrls = [service(step.origin, 2), service(step.origin)];
  const preferringV2 = formatSigningConfig({ ...services, rekorTlogUrls });
  parseSigningConfig(preferringV2);
  await bench.outputs.write(step.logV2.signingConfigOut, preferringV2);
}

/** Version 1 of root and targets, signed on the offline token, and the target files. */
export async function performTuf(bench: Bench, step: StepOf<"tufRepository">): Promise<void> {
  const expires = new Date(bench.startedAt.getTime() + step.days * dayMs);
  const key = (label: string) => tuf.tufKey(bench.key(label).publicKey);
  const rootKeys = typeof step.rootKey === "string" ? [step.rootKey] : step.rootKey;
  const keys = {
    targets: key(step.targetsKey),
    snapshot: key(step.snapshotKey),
    timestamp: key(step.timestampKey),
  };
  const one = ({ keyid }: tuf.TufKey) => ({ keyids: [keyid], threshold: 1 });
  const root: tuf.RootRole = {
    version: 1,
    expires,
    keys: [...rootKeys.map(key), ...Object.values(keys)],
    roles: {
      root: {
        keyids: rootKeys.map((label) => key(label).keyid),
        threshold: step.rootThreshold ?? 1,
      },
      targets: one(keys.targets),
      snapshot: one(keys.snapshot),
      timestamp: one(keys.timestamp),
    },
  };
  const targets: tuf.Target[] = [];
  for (const target of step.targets) targets.push(await placeTarget(bench, step, target));
  const sign = (name: "root" | "targets", signed: Parameters<typeof tuf.signedBytes>[0]) => {
    const message = tuf.signedBytes(signed);
    const signatures = (name === "root" ? rootKeys : [step.targetsKey]).map((label) => ({
      keyid: key(label).keyid,
      sig: encodeHex(bench.sign(label, `TUF ${name} version 1`, message)),
    }));
    const file = tuf.formatSignedRole(signed, signatures);
    tuf.checkSignatures(tuf.parseSignedRole(file), name, root, (spki, data, signature) =>
      verify("sha256", data, keyObject(spki), signature),
    );
    return file;
  };
  const rootFile = sign("root", tuf.rootRole(root));
  const targetsFile = sign("targets", tuf.targetsRole({ version: 1, expires, targets }));
  await bench.outputs.write(`${step.out}/1.root.json`, rootFile);
  await bench.outputs.write(`${step.out}/1.targets.json`, targetsFile);
  await bench.outputs.write(step.rootCopyOut, rootFile);
}

async function placeTarget(
  bench: Bench,
  { out, uri }: StepOf<"tufRepository">,
  target: StepOf<"tufRepository">["targets"][number],
): Promise<tuf.Target> {
  const content =
    "file" in target.from
      ? new Uint8Array(await readFile(join(bench.home, target.from.file)))
      : encodeUtf8(formatPem("PUBLIC KEY", bench.key(target.from.publicKey).publicKey));
  const sha256 = hash("sha256", content, "buffer");
  const { name, usage } = target;
  await bench.outputs.write(`${out}/targets/${encodeHex(sha256)}.${name}`, content);
  return {
    name,
    sha256,
    length: content.length,
    // How clients from before trusted_root.json choose their targets.
    ...(usage && { custom: { sigstore: { status: "Active", uri, usage } } }),
  };
}
