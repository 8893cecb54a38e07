/**
 * The keyring: which keys the vault holds, what each may sign and for whom. It is public and changes only by ceremony. Each key is
 * pinned by the hash of its public half; the device is searched by CKA_ID and believed only where it agrees.
 */
import { hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import * as v from "valibot";
import {
  decodeBase64,
  decodeHex,
  decodeUtf8,
  encodeBase64,
  encodeHex,
  equalBytes,
} from "../core/formats/encoding.ts";
import { parseJson } from "../core/formats/json.ts";
import { keyAlgorithm, keyLabel, type Purpose } from "../events/hsm.ts";
import { VaultRefused } from "./errors.ts";
import type { KeyAttributes, KeyHandle, Module, Session } from "./pkcs11.ts";
import { formatPublicKey } from "./public-key.ts";

/** What a key may sign. */
export const purposes = [
  "certificate",
  "scts",
  "signedEntryTimestamps",
  "checkpoint",
  "treeHead",
  "timestamp",
  "tufRole",
  "idToken",
] as const satisfies readonly Purpose[];

const base64 = v.pipe(
  v.string(),
  v.check((text) => decodes(() => decodeBase64(text)), "expected base64"),
  v.transform((text) => decodeBase64(text)),
);
const hex = v.pipe(
  v.string(),
  v.check((text) => decodes(() => decodeHex(text)), "expected lower-case hex"),
  v.transform((text) => decodeHex(text)),
);

const keyEntry = v.strictObject({
  label: keyLabel,
  id: hex,
  algorithm: keyAlgorithm,
  publicKey: base64,
  publicKeySha256: hex,
  purposes: v.pipe(v.array(v.picklist(purposes)), v.minLength(1)),
  askers: v.pipe(v.array(v.string()), v.minLength(1)),
  origin: v.optional(v.string()),
  noteName: v.optional(v.string()),
  chain: v.optional(v.array(base64)),
  roles: v.optional(v.array(v.picklist(["root", "targets", "snapshot", "timestamp"]))),
  issuer: v.optional(v.string()),
  /** Timestamp authorities: the policy, a dotted object identifier. */
  policy: v.optional(v.string()),
  /** Keys of logs that are retired: they sign nothing more, and may be destroyed. */
  retired: v.optional(v.literal(true)),
});

const keyringFile = v.strictObject({
  version: v.literal(1),
  token: v.strictObject({ label: v.string(), serial: v.string() }),
  keys: v.pipe(v.array(keyEntry), v.minLength(1)),
});

/** A key and what is bound to it. */
export type VaultKey = v.InferOutput<typeof keyEntry>;

/** The token and every key on it that the vault may use. */
export type Keyring = v.InferOutput<typeof keyringFile>;

/** False for the keys of logs that are retired. */
export const isUsed = ({ retired }: VaultKey): boolean => retired !== true;

/** Reads and checks a keyring. @throws {VaultRefused} */
export async function readKeyring(path: string): Promise<Keyring> {
  const text = await readFile(path).catch(() => {
    throw new VaultRefused(`there is no keyring at ${path}; genesis writes it, nothing else does`);
  });
  return parseKeyring(decodeUtf8(text));
}

/** @throws {VaultRefused} on anything that is not a keyring with distinct labels and ids and true hashes. */
export function parseKeyring(text: string): Keyring {
  const parsed = v.safeParse(keyringFile, json(text));
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new VaultRefused(
      `the keyring is not valid: ${v.getDotPath(issue) ?? ""} ${issue.message}`,
    );
  }
  const { keys } = parsed.output;
  for (const [name, values] of [
    ["label", keys.map((key) => key.label)],
    ["id", keys.map((key) => encodeHex(key.id))],
    ["public key", keys.map((key) => encodeHex(key.publicKeySha256))],
  ] as const) {
    if (new Set(values).size !== values.length) {
      throw new VaultRefused(`the keyring names one ${name} twice`);
    }
  }
  for (const key of keys) {
    const { label, algorithm, purposes: own } = key;
    if (!isPurposeOf(algorithm, own)) {
      throw new VaultRefused(`the keyring gives ${label} other purposes than ${algorithm} has`);
    }
    if (!equalBytes(hash("sha256", key.publicKey, "buffer"), key.publicKeySha256)) {
      throw new VaultRefused(
        `the keyring's public key of ${key.label} has another SHA-256 than it says`,
      );
    }
  }
  return parsed.output;
}

/**
 * True if a key of this kind may sign all of that. Ed25519 is for the checkpoints of logs alone: what else is signed here has readers
 * that demand ECDSA or RSA.
 */
export function isPurposeOf(algorithm: VaultKey["algorithm"], wanted: readonly Purpose[]): boolean {
  return algorithm !== "ed25519" || wanted.every((purpose) => purpose === "checkpoint");
}

/** The inverse of {@link parseKeyring}. */
export function formatKeyring(keyring: Keyring): string {
  const keys = keyring.keys.map((key) => ({
    ...key,
    id: encodeHex(key.id),
    publicKey: encodeBase64(key.publicKey),
    publicKeySha256: encodeHex(key.publicKeySha256),
    ...(key.chain ? { chain: key.chain.map(encodeBase64) } : {}),
  }));
  return `${JSON.stringify({ ...keyring, keys }, null, 2)}\n`;
}

/** What pins a key on the device. */
export type PinnedKey = Pick<VaultKey, "label" | "id" | "algorithm" | "publicKeySha256">;

/**
 * Finds a key again by CKA_ID and checks everything that was promised of it.
 *
 * @throws {VaultRefused} if it is missing, doubled, another key, or could leave the device. @throws {HsmError}
 */
export function findKey(module: Module, session: Session, key: PinnedKey): KeyHandle {
  const found = module.find(session, "private", key.id);
  const [handle] = found;
  if (handle === undefined || found.length > 1) {
    throw new VaultRefused(
      `the token holds ${found.length} private keys with the id of ${key.label}, expected exactly 1; nothing is generated in its place`,
    );
  }
  const publicKey = findPublicKey(module, session, key);
  if (!equalBytes(hash("sha256", publicKey, "buffer"), key.publicKeySha256)) {
    throw new VaultRefused(`the token's ${key.label} is another key than the one in the keyring`);
  }
  const faults = attributeFaults(module.keyAttributes(session, handle));
  if (faults.length > 0) {
    throw new VaultRefused(`the token's ${key.label} is not safe: it is ${faults.join(", ")}`);
  }
  return handle;
}

/** The public half on the device. @throws {VaultRefused} if there is not exactly one. @throws {HsmError} */
export function findPublicKey(
  module: Module,
  session: Session,
  key: { readonly label: string; readonly id: Uint8Array },
): Uint8Array {
  const found = module.find(session, "public", key.id);
  const [handle] = found;
  if (handle === undefined || found.length > 1) {
    throw new VaultRefused(
      `the token holds ${found.length} public keys with the id of ${key.label}, expected exactly 1`,
    );
  }
  const attributes = module.publicAttributes(session, handle);
  if (attributes === null) {
    throw new VaultRefused(`the token's ${key.label} is of a kind that is not used here`);
  }
  return formatPublicKey(attributes);
}

/** What is wrong with a private key's attributes; empty if nothing is. */
export function attributeFaults(attributes: KeyAttributes): readonly string[] {
  const faults: readonly (readonly [boolean, string])[] = [
    [!attributes.sensitive, "not sensitive"],
    [attributes.extractable, "extractable"],
    [!attributes.alwaysSensitive, "not always sensitive"],
    [!attributes.neverExtractable, "not never extractable"],
    [!attributes.local, "not generated on the device"],
    [!attributes.sign, "not allowed to sign"],
    [attributes.derive, "allowed to derive"],
    [attributes.decrypt, "allowed to decrypt"],
    [attributes.unwrap, "allowed to unwrap"],
    [attributes.modifiable, "modifiable"],
  ];
  return faults.flatMap(([wrong, name]) => (wrong ? [name] : []));
}

function json(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    throw new VaultRefused("the keyring is not valid: not JSON");
  }
}

function decodes(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
