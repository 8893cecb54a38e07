/**
 * The next version of a TUF root (TUF 1.0.31 §6.1): signed by as many keys of the root before it as that demands, so that clients
 * follow, and by as many of its own, so that it can be followed by another. It changes nothing until it is published.
 */
import { generateKeyPairSync, hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { decodeUtf8, encodeBase64, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import * as tuf from "../../core/formats/tuf.ts";
import { VaultRefused } from "../errors.ts";
import type { Bench } from "./bench.ts";
import type { StepOf } from "./script.ts";
import { checkRoot } from "./tuf-check.ts";

const dayMs = 86_400_000;

/** Signs it. Refuses before the first signature if those who sign are not enough. */
export async function performTufRoot(bench: Bench, step: StepOf<"tufRoot">): Promise<void> {
  const before = await readBefore(bench, step);
  const root = tuf.parseSignedRole(before);
  const next = nextRoot(bench, step, tuf.parseRoot(root.signed));
  requireEnough(bench, step, { before: tuf.parseRoot(root.signed), next });
  const signed = tuf.rootRole(next);
  const message = tuf.signedBytes(signed);
  const signatures = step.signedBy.map((label) => ({
    keyid: keyidOf(bench, label),
    sig: encodeHex(bench.sign(label, `TUF root version ${next.version}`, message)),
  }));
  const file = tuf.formatSignedRole(signed, signatures);
  const read = checkRoot(file, tuf.parseRoot(root.signed));
  await bench.outputs.write(step.out, file);
  const about = { path: step.out, version: read.version };
  bench.transcript.once("TUF root", about, () => ({
    threshold: read.roles.root.threshold,
    keyids: read.roles.root.keyids,
    expires: read.expires.toISOString(),
    sha256: hash("sha256", encodeUtf8(file), "hex"),
    file: encodeBase64(encodeUtf8(file)),
    before: encodeBase64(encodeUtf8(before)),
  }));
}

/** The root in force. Its signatures are those it was made with; that it is the right one, the pinned hash says. */
async function readBefore(bench: Bench, { before, out }: StepOf<"tufRoot">): Promise<string> {
  const path = join(bench.home, before.file);
  const content = await readFile(path).catch(() => {
    throw new VaultRefused(`there is no TUF root at ${path}`);
  });
  const sha256 = hash("sha256", content, "hex");
  if (!bench.rehearsal && sha256 !== before.sha256) {
    throw new VaultRefused(
      `${path} is another root than the script pins: it has SHA-256 ${sha256}`,
    );
  }
  const text = decodeUtf8(content);
  const { version } = tuf.parseRoot(tuf.parseSignedRole(text).signed);
  if (basename(out) !== `${version + 1}.root.json`) {
    throw new VaultRefused(
      `${path} is of version ${version}: the next one is ${version + 1}.root.json, not ${basename(out)}`,
    );
  }
  return text;
}

function nextRoot(bench: Bench, step: StepOf<"tufRoot">, before: tuf.RootRole): tuf.RootRole {
  const known = new Set(before.roles.root.keyids);
  const added = (step.add ?? []).map((label) => tuf.tufKey(bench.key(label).publicKey));
  const twice = added.find(({ keyid }) => known.has(keyid));
  if (twice) throw new VaultRefused(`the root names the key ${twice.keyid} already`);
  const removed = new Set(removedKeyids(bench, step, before));
  const unknown = [...removed].find((keyid) => !known.has(keyid));
  if (unknown !== undefined) throw new VaultRefused(`the root does not name the key ${unknown}`);
  const keyids = [
    ...before.roles.root.keyids.filter((keyid) => !removed.has(keyid)),
    ...added.map(({ keyid }) => keyid),
  ];
  const threshold = step.threshold ?? before.roles.root.threshold;
  if (threshold > keyids.length) {
    throw new VaultRefused(
      `the root would have ${keyids.length} keys, fewer than its threshold of ${threshold}`,
    );
  }
  const { targets, snapshot, timestamp } = before.roles;
  const used = new Set(
    [targets, snapshot, timestamp].flatMap((role) => role.keyids).concat(keyids),
  );
  return {
    version: before.version + 1,
    expires: new Date(bench.startedAt.getTime() + step.days * dayMs),
    keys: [...before.keys, ...added].filter(({ keyid }) => used.has(keyid)),
    roles: { root: { keyids, threshold }, targets, snapshot, timestamp },
  };
}

function removedKeyids(
  bench: Bench,
  { remove = [] }: StepOf<"tufRoot">,
  before: tuf.RootRole,
): readonly string[] {
  const named = remove.flatMap((one) => ("key" in one ? [keyidOf(bench, one.key)] : []));
  const lost = remove.flatMap((one) => ("keyid" in one ? [one.keyid] : []));
  if (!bench.rehearsal) return [...named, ...lost];
  // A twin's root names stand-ins for lost keys, which no key id in the script can.
  const present = new Set([...bench.keys.keys()].map((label) => keyidOf(bench, label)));
  const standIns = before.roles.root.keyids.filter((keyid) => !present.has(keyid));
  return [...named, ...standIns.slice(0, lost.length)];
}

/** @throws {VaultRefused} unless enough keys of both roots sign, and nobody besides */
function requireEnough(
  bench: Bench,
  { signedBy }: StepOf<"tufRoot">,
  { before, next }: { readonly before: tuf.RootRole; readonly next: tuf.RootRole },
): void {
  const keyids = signedBy.map((label) => keyidOf(bench, label));
  if (new Set(keyids).size !== keyids.length) throw new VaultRefused("a key is to sign twice");
  for (const [name, { keyids: own, threshold }] of [
    ["the root before it", before.roles.root],
    ["the new root", next.roles.root],
  ] as const) {
    const count = keyids.filter((keyid) => own.includes(keyid)).length;
    if (count >= threshold) continue;
    throw new VaultRefused(
      `${name} demands ${threshold} signatures of its keys, but ${count} of them sign`,
    );
  }
  const whose = new Set([...before.roles.root.keyids, ...next.roles.root.keyids]);
  const stranger = signedBy.find((label) => !whose.has(keyidOf(bench, label)));
  if (stranger !== undefined) {
    throw new VaultRefused(`"${stranger}" is to sign, but neither root names it`);
  }
}

function keyidOf(bench: Bench, label: string): string {
  return tuf.tufKey(bench.key(label).publicKey).keyid;
}

/** A root of stand-ins, for a rehearsal: what `step` expects to be in force. */
export function standInRoot(bench: Bench, step: StepOf<"tufRoot">): string {
  const [, version = ""] = /(\d+)\.root\.json$/.exec(step.out) ?? [];
  const added = new Set(step.add);
  const leaving = new Set(step.remove?.flatMap((one) => ("key" in one ? [one.key] : [])));
  const old = step.signedBy.filter((label) => !added.has(label));
  const staying = step.signedBy.filter((label) => !leaving.has(label));
  if (old.length === 0 || staying.length === 0) {
    throw new VaultRefused("no key of the root before it, or none of the new one, is to sign");
  }
  const lost = (step.remove ?? []).filter((one) => "keyid" in one).length;
  const silent = [...leaving].filter((label) => !old.includes(label));
  const keys = [...old, ...silent].map((label) => tuf.tufKey(bench.key(label).publicKey));
  const strangers = Array.from({ length: lost }, strangerKey);
  const online = strangerKey();
  const one = { keyids: [online.keyid], threshold: 1 };
  const root: tuf.RootRole = {
    version: Number(version) - 1,
    expires: new Date(bench.startedAt.getTime() + dayMs),
    keys: [...keys, ...strangers, online],
    roles: {
      root: {
        keyids: [...keys, ...strangers].map(({ keyid }) => keyid),
        threshold: step.threshold === undefined ? Math.min(old.length, staying.length) : old.length,
      },
      targets: one,
      snapshot: one,
      timestamp: one,
    },
  };
  const signed = tuf.rootRole(root);
  const signatures = old.map((label) => ({
    keyid: keyidOf(bench, label),
    sig: encodeHex(bench.signUnrecorded(label, tuf.signedBytes(signed))),
  }));
  return tuf.formatSignedRole(signed, signatures);
}

/** A key that nobody keeps. */
function strangerKey(): tuf.TufKey {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return tuf.tufKey(new Uint8Array(publicKey.export({ type: "spki", format: "der" })));
}
