/** Verifies a transcript without any token: everything that can be derived again is, and compared. */
import { hash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { verifyDigest } from "../../core/crypto/digest-verify.ts";
import { hashLengths, type HashName } from "../../core/crypto/hash.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import {
  decodeBase64,
  decodeHex,
  decodeUtf8,
  encodeUtf8,
  equalBytes,
} from "../../core/formats/encoding.ts";
import * as tuf from "../../core/formats/tuf.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { VaultRefused } from "../errors.ts";
import { expectedInventory } from "./inventory.ts";
import { type AuthorityKind, authorityKinds, isSelfSigned, lintAuthority } from "./lint.ts";
import {
  type Detail,
  parseTranscript,
  seal,
  sealedBytes,
  type TranscriptLine,
} from "./transcript.ts";
import { checkRoot } from "./tuf-check.ts";

/** What a transcript is held against, as far as it is at hand. */
export interface Evidence {
  /** The home whose files it tells of. */
  readonly home?: string;
  /** The script's text. */
  readonly source?: string;
  /** The public half of the transcript's key, as whoever verifies knows it. */
  readonly transcriptKey?: Uint8Array;
}

/** A transcript that verifies. */
export interface VerifiedTranscript {
  readonly lines: readonly TranscriptLine[];
  /** SHA-256 of its last line: with it, all of it is known. */
  readonly headSha256: string;
  /** SHA-256 of the public half of the key that sealed it. */
  readonly transcriptKeySha256: string;
}

/** @throws {VaultRefused} with the first thing that does not fit */
export function verifyTranscript(text: string, evidence: Evidence = {}): VerifiedTranscript {
  try {
    return verified(text, evidence);
  } catch (error) {
    if (error instanceof VaultRefused || !(error instanceof Error)) throw error;
    throw new VaultRefused(`the transcript holds something malformed: ${error.message}`);
  }
}

function verified(text: string, evidence: Evidence): VerifiedTranscript {
  const lines = parseTranscript(text);
  const last = lines.at(-1);
  const head = lines[0];
  if (head?.what !== "ceremony") refuse("begins with no ceremony");
  if (last?.what !== seal) refuse("is of a ceremony that did not end");
  if (lines.filter(({ what }) => what === seal).length > 1) refuse("is sealed twice");
  const keys = publicKeys(lines);
  const sealing = verifySeal(last, keys, String(head.detail["transcriptKey"]));
  if (evidence.transcriptKey && !equalBytes(evidence.transcriptKey, sealing)) {
    refuse("is sealed by another key than the one that was given");
  }
  verifySteps(lines, Number(head.detail["steps"]));
  for (const line of of(lines, "signed")) verifySigned(lines, line, keys);
  verifyCertificates(lines, keys);
  verifyRoots(lines);
  verifyInventories(lines);
  if (evidence.source !== undefined) {
    const sha256 = hash("sha256", encodeUtf8(evidence.source), "hex");
    if (head.detail["scriptSha256"] !== sha256) refuse("is of another script");
  }
  if (evidence.home !== undefined) verifyFiles(lines, evidence.home);
  return {
    lines,
    headSha256: hash("sha256", encodeUtf8(text.slice(0, -1).split("\n").at(-1) ?? ""), "hex"),
    transcriptKeySha256: hash("sha256", sealing, "hex"),
  };
}

function refuse(what: string): never {
  throw new VaultRefused(`the transcript ${what}`);
}

function of(lines: readonly TranscriptLine[], what: string): readonly Detail[] {
  return lines.filter((line) => line.what === what).map(({ detail }) => detail);
}

function publicKeys(lines: readonly TranscriptLine[]): ReadonlyMap<string, Uint8Array> {
  const keys = new Map<string, Uint8Array>();
  for (const detail of [...of(lines, "key"), ...of(lines, "existing key")]) {
    const publicKey = bytes(detail["publicKey"]);
    const label = String(detail["label"]);
    if (hash("sha256", publicKey, "hex") !== detail["publicKeySha256"]) {
      refuse(`tells of the key "${label}" with a hash that is not its own`);
    }
    if (keys.has(label)) refuse(`tells of two keys "${label}"`);
    keys.set(label, publicKey);
  }
  return keys;
}

function verifySeal(
  last: TranscriptLine,
  keys: ReadonlyMap<string, Uint8Array>,
  label: string,
): Uint8Array {
  const key = keys.get(label);
  if (!key || last.detail["key"] !== label) refuse("is not sealed by the key that its head names");
  const message = sealedBytes(last);
  if (!isSignature(key, { message, signature: bytes(last.signature) })) {
    refuse("has a seal that does not verify");
  }
  return key;
}

function verifySteps(lines: readonly TranscriptLine[], steps: number): void {
  const numbers = (what: string) => of(lines, what).map(({ number }) => Number(number));
  const wanted = Array.from({ length: steps }, (_, index) => index + 1).join();
  if (numbers("step").join() !== wanted || numbers("checked").join() !== wanted) {
    refuse("does not hold every step, begun and checked once, in order");
  }
}

function verifySigned(
  lines: readonly TranscriptLine[],
  detail: Detail,
  keys: ReadonlyMap<string, Uint8Array>,
): void {
  const { key, what, signature } = detail;
  const announced = of(lines, "signing").filter(
    (one) => one["key"] === key && one["what"] === what,
  );
  const name = hashNames.find((one) => one === announced[0]?.["hash"]);
  const publicKey = keys.get(String(key));
  const digests = new Set(announced.map((one) => one["digest"]));
  const [digest] = digests;
  const isGood =
    publicKey !== undefined &&
    name !== undefined &&
    digests.size === 1 &&
    verifyDigest(importPublicKey(publicKey), name, hex(digest), bytes(signature));
  if (!isGood) refuse(`tells of a signature that does not verify: ${String(what)}`);
}

function verifyCertificates(
  lines: readonly TranscriptLine[],
  keys: ReadonlyMap<string, Uint8Array>,
): void {
  const known = new Map<string, Uint8Array>();
  for (const detail of of(lines, "existing certificate")) {
    known.set(String(detail["key"]), bytes(detail["der"]));
  }
  for (const detail of of(lines, "certificate")) {
    const label = String(detail["key"]);
    const encoded = bytes(detail["der"]);
    const read = parseCertificate(encoded);
    const kind = authorityKinds.find((one): one is AuthorityKind => one === detail["kind"]);
    if (!kind) refuse(`tells of a certificate of no known kind, of "${label}"`);
    known.set(label, encoded);
    const issuer = String(detail["issuer"]);
    const issuerKey = keys.get(issuer);
    const above = parseCertificate(known.get(issuer) ?? new Uint8Array());
    lintAuthority(read.tbs, kind, isSelfSigned(kind) ? undefined : above.tbs);
    const linted = of(lines, "linted").find((one) => one["key"] === label);
    const holds =
      hash("sha256", encoded, "hex") === detail["sha256"] &&
      equalBytes(read.publicKey, keys.get(label) ?? new Uint8Array()) &&
      equalBytes(read.issuer, above.subject) &&
      hash("sha256", read.tbs, "hex") === linted?.["tbsSha256"] &&
      issuerKey !== undefined &&
      isSignature(issuerKey, {
        message: read.tbs,
        signature: read.signature,
        digest: read.signatureAlgorithm === ecdsaSha384 ? "sha384" : "sha256",
      });
    if (!holds) refuse(`tells of a certificate of "${label}" that does not verify`);
  }
}

// The keys of a constant are exactly its names.
const hashNames = Object.keys(hashLengths) as HashName[];
const ecdsaSha384 = "1.2.840.10045.4.3.3";

/** A root of TUF must follow from the one before it, and be what the transcript says of it. */
function verifyRoots(lines: readonly TranscriptLine[]): void {
  for (const detail of of(lines, "TUF root")) {
    const file = bytes(detail["file"]);
    const before = tuf.parseSignedRole(decodeUtf8(bytes(detail["before"])));
    const { version, expires, roles } = checkRoot(decodeUtf8(file), tuf.parseRoot(before.signed));
    const sha256 = hash("sha256", file, "hex");
    const holds =
      version === detail["version"] &&
      expires.toISOString() === detail["expires"] &&
      roles.root.threshold === detail["threshold"] &&
      JSON.stringify(roles.root.keyids) === JSON.stringify(detail["keyids"]) &&
      sha256 === detail["sha256"] &&
      of(lines, "wrote").some((one) => one["path"] === detail["path"] && one["sha256"] === sha256);
    if (!holds) refuse(`tells of a TUF root of version ${version} that is not what it says`);
  }
}

function verifyInventories(lines: readonly TranscriptLine[]): void {
  const tokens = of(lines, "token").map(({ token }) => String(token));
  for (const token of tokens) {
    const [after] = of(lines, "inventory after").filter((detail) => detail["token"] === token);
    const objects: unknown = after?.["objects"];
    const expected = expectedInventory(lines, token);
    if (!Array.isArray(objects) || objects.join("\n") !== expected.join("\n")) {
      refuse(`tells of objects on the token "${token}" that were neither found nor made`);
    }
  }
}

function verifyFiles(lines: readonly TranscriptLine[], home: string): void {
  const files = new Map(of(lines, "wrote").map(({ path, sha256 }) => [String(path), sha256]));
  for (const [path, sha256] of files) {
    const whole = join(home, path);
    if (!existsSync(whole)) refuse(`tells of ${path}, which is not in ${home}`);
    if (sha256 !== undefined && hash("sha256", readFileSync(whole), "hex") !== sha256) {
      refuse(`tells of ${path} with another content than it has`);
    }
  }
}

function isSignature(
  key: Uint8Array,
  {
    message,
    signature,
    digest,
  }: { message: Uint8Array; signature: Uint8Array; digest?: "sha256" | "sha384" },
): boolean {
  const imported = importPublicKey(key);
  const name = digest ?? (imported.algorithm === "ecdsa-p384" ? "sha384" : "sha256");
  return verifyDigest(imported, name, hash(name, message, "buffer"), signature);
}

function bytes(value: unknown): Uint8Array {
  try {
    return decodeBase64(String(value));
  } catch {
    return refuse("holds something that is not base64");
  }
}

function hex(value: unknown): Uint8Array {
  try {
    return decodeHex(String(value));
  } catch {
    return refuse("holds something that is not hexadecimal");
  }
}
