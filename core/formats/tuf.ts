/**
 * TUF metadata (TUF specification 1.0.31): roles, keys and signatures as JSON. Bytes that are signed, and that key ids are computed
 * over, are OLPC canonical JSON, which is not JSON: control characters stay as they are.
 */
import { createHash } from "node:crypto";
import { decodeHex, encodeHex, encodeUtf8 } from "./encoding.ts";
import { type JsonValue, parseJson } from "./json.ts";
import { Malformed } from "./malformed.ts";
import { formatPem, parsePem } from "./pem.ts";

/** The version of the specification that our metadata claims. */
const specVersion = "1.0.31";

/** A top-level role. */
export type RoleName = "root" | "targets" | "snapshot" | "timestamp";

const roleNames: readonly RoleName[] = ["root", "targets", "snapshot", "timestamp"];

/** A JSON object. */
type JsonObject = { readonly [name: string]: JsonValue };

/** A key with the id under which roles name it. */
export interface TufKey {
  /** Lower-case hex SHA-256 of the canonical JSON of {@link key}. */
  readonly keyid: string;
  /** `keytype` "ecdsa", `scheme` "ecdsa-sha2-nistp256" and the PEM of the SubjectPublicKeyInfo. */
  readonly key: JsonObject;
}

/** Who may sign a role, and how many of them must. */
interface RoleKeys {
  readonly keyids: readonly string[];
  /** At least 1. */
  readonly threshold: number;
}

/** A signature as metadata carries it: ECDSA DER, lower-case hex. */
export interface RoleSignature {
  readonly keyid: string;
  readonly sig: string;
}

/** What the metadata say of another file. */
export interface FileMeta {
  readonly version: number;
  readonly length?: number;
  readonly sha256?: Uint8Array;
}

/** A target: its length in bytes, its SHA-256, and what clients like to know besides. */
export interface Target {
  readonly name: string;
  readonly length: number;
  readonly sha256: Uint8Array;
  readonly custom?: JsonObject;
}

/** What every role says. */
interface Common {
  /** At least 1. */
  readonly version: number;
  /** Whole seconds. */
  readonly expires: Date;
}

/** The root role: every key, and which role trusts which. */
export interface RootRole extends Common {
  readonly keys: readonly TufKey[];
  readonly roles: { readonly [R in RoleName]: RoleKeys };
}

/** The targets role. */
export interface TargetsRole extends Common {
  readonly targets: readonly Target[];
}

/** The snapshot role: which targets metadata are current. */
export interface SnapshotRole extends Common {
  readonly targets: FileMeta;
}

/** The timestamp role: which snapshot is current. */
export interface TimestampRole extends Common {
  readonly snapshot: FileMeta;
}

/** Metadata as it is stored: the signed part, untouched, and its signatures. */
export interface SignedRole {
  readonly signed: JsonObject;
  readonly signatures: readonly RoleSignature[];
}

/**
 * OLPC canonical JSON: members in the order of their names' code points, no white space, integers only, and in strings nothing
 * escaped but the quotation mark and the backslash.
 *
 * @throws {Malformed} on a fraction, an integer that a double cannot hold exactly, or a lone surrogate.
 */
export function canonicalJson(value: JsonValue): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") return canonicalInteger(value);
  if (typeof value === "string") return canonicalString(value);
  if (isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const members = Object.entries(value).sort(([a], [b]) => compareCodePoints(a, b));
  return `{${members.map(([name, member]) => `${canonicalString(name)}:${canonicalJson(member)}`).join(",")}}`;
}

/** The bytes a role's signatures are made over. */
export function signedBytes(signed: JsonValue): Uint8Array {
  return encodeUtf8(canonicalJson(signed));
}

/** The key object of a P-256 SubjectPublicKeyInfo, and its id. */
export function tufKey(spki: Uint8Array): TufKey {
  const key = {
    keytype: "ecdsa",
    scheme: "ecdsa-sha2-nistp256",
    keyval: { public: formatPem("PUBLIC KEY", spki) },
  };
  return { keyid: keyId(key), key };
}

/** The id of a key object, all its members included. */
export function keyId(key: JsonValue): string {
  return createHash("sha256").update(canonicalJson(key)).digest("hex");
}

/** The SubjectPublicKeyInfo in a key object. @throws {Malformed} if the key is of another type or scheme. */
export function keySpki(key: JsonObject): Uint8Array {
  const keytype = text(member(key, "keytype"), "keytype");
  const scheme = text(member(key, "scheme"), "scheme");
  // Old metadata of other repositories spell the key type like the scheme.
  if ((keytype !== "ecdsa" && keytype !== scheme) || scheme !== "ecdsa-sha2-nistp256") {
    throw new Malformed("tuf: only keys of scheme ecdsa-sha2-nistp256 are accepted");
  }
  return parsePem(text(member(object(member(key, "keyval")), "public"), "public"), "PUBLIC KEY");
}

/** The `signed` part of root metadata, with consistent snapshots. */
export function rootRole(fields: RootRole): JsonObject {
  const roles = Object.fromEntries(
    roleNames.map((name) => {
      const { keyids, threshold } = fields.roles[name];
      return [name, { keyids, threshold }];
    }),
  );
  const keys = Object.fromEntries(fields.keys.map(({ keyid, key }) => [keyid, key]));
  return { ...common("root", fields), consistent_snapshot: true, keys, roles };
}

/** The `signed` part of targets metadata, without delegations. */
export function targetsRole(fields: TargetsRole): JsonObject {
  const targets = fields.targets.map(({ name, length, sha256, custom }) => [
    name,
    { length, hashes: { sha256: encodeHex(sha256) }, ...(custom && { custom }) },
  ]);
  return { ...common("targets", fields), targets: Object.fromEntries(targets) };
}

/** The `signed` part of snapshot metadata. */
export function snapshotRole(fields: SnapshotRole): JsonObject {
  return { ...common("snapshot", fields), meta: { "targets.json": formatMeta(fields.targets) } };
}

/** The `signed` part of timestamp metadata. */
export function timestampRole(fields: TimestampRole): JsonObject {
  return { ...common("timestamp", fields), meta: { "snapshot.json": formatMeta(fields.snapshot) } };
}

/** The file: JSON, one space deep, signatures first. */
export function formatSignedRole(signed: JsonValue, signatures: readonly RoleSignature[]): string {
  return `${JSON.stringify({ signatures, signed }, null, 1)}\n`;
}

/** Reads a metadata file without looking into its signed part. @throws {Malformed} */
export function parseSignedRole(source: string): SignedRole {
  const members = object(parseJson(source));
  const signatures = array(member(members, "signatures")).map((value) => {
    const signature = object(value);
    const keyid = text(member(signature, "keyid"), "keyid");
    const sig = text(member(signature, "sig"), "sig");
    decodeHex(sig);
    return { keyid, sig };
  });
  if (new Set(signatures.map(({ keyid }) => keyid)).size !== signatures.length) {
    throw new Malformed("tuf: two signatures by one key");
  }
  return { signed: object(member(members, "signed")), signatures };
}

/** Reads root metadata; key ids must be what their keys give. @throws {Malformed} */
export function parseRoot(signed: JsonObject): RootRole {
  const fields = parseCommon(signed, "root");
  if (signed["consistent_snapshot"] !== true) {
    throw new Malformed("tuf: root: consistent_snapshot is not true");
  }
  const keys = Object.entries(object(member(signed, "keys"))).map(([keyid, value]) => {
    const key = object(value);
    if (keyId(key) !== keyid) throw new Malformed("tuf: root: a key id is not its key's");
    return { keyid, key };
  });
  const roles = object(member(signed, "roles"));
  const known = new Set(keys.map(({ keyid }) => keyid));
  const read = (name: RoleName) => parseRoleKeys(object(member(roles, name)), known);
  return {
    ...fields,
    keys,
    roles: {
      root: read("root"),
      targets: read("targets"),
      snapshot: read("snapshot"),
      timestamp: read("timestamp"),
    },
  };
}

/** Reads targets metadata. @throws {Malformed} also if they delegate: this repository has no delegations. */
export function parseTargets(signed: JsonObject): TargetsRole {
  const fields = parseCommon(signed, "targets");
  if (Object.hasOwn(signed, "delegations")) throw new Malformed("tuf: targets: delegations");
  const targets = Object.entries(object(member(signed, "targets"))).map(([name, value]) => {
    const target = object(value);
    const hashes = object(member(target, "hashes"));
    const sha256 = digest(member(hashes, "sha256"));
    const length = integer(member(target, "length"), "length", 0);
    const custom = Object.hasOwn(target, "custom") && { custom: object(member(target, "custom")) };
    return { name, length, sha256, ...custom };
  });
  return { ...fields, targets };
}

/** Reads snapshot metadata. @throws {Malformed} */
export function parseSnapshot(signed: JsonObject): SnapshotRole {
  const fields = parseCommon(signed, "snapshot");
  return { ...fields, targets: parseMeta(signed, "targets.json") };
}

/** Reads timestamp metadata. @throws {Malformed} */
export function parseTimestamp(signed: JsonObject): TimestampRole {
  const fields = parseCommon(signed, "timestamp");
  return { ...fields, snapshot: parseMeta(signed, "snapshot.json") };
}

/** Verifies an ECDSA signature, DER, with SHA-256: `core/crypto` gives it, because a codec has no keys. */
export type VerifyTufSignature = (
  spki: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
) => boolean;

/**
 * Holds a file's signatures against the root that names its role's keys.
 *
 * @throws {Malformed} unless as many of the role's keys as its threshold demands have signed.
 */
export function checkSignatures(
  file: SignedRole,
  name: RoleName,
  root: RootRole,
  verify: VerifyTufSignature,
): void {
  const { keyids, threshold } = root.roles[name];
  const message = signedBytes(file.signed);
  const good = root.keys.filter(({ keyid, key }) => {
    const signature = file.signatures.find((candidate) => candidate.keyid === keyid);
    if (!keyids.includes(keyid) || signature === undefined || signature.sig === "") return false;
    return verify(keySpki(key), message, decodeHex(signature.sig));
  });
  if (good.length < threshold) {
    throw new Malformed(
      `tuf: ${name}: ${good.length} of the ${threshold} signatures that the root demands`,
    );
  }
}

function common(name: RoleName, { version, expires }: Common): JsonObject {
  if (!Number.isSafeInteger(version) || version < 1) {
    throw new Malformed(`tuf: ${name}: version ${version} is not a positive integer`);
  }
  return { _type: name, spec_version: specVersion, version, expires: formatTime(expires) };
}

function parseCommon(signed: JsonObject, name: RoleName): Common {
  if (signed["_type"] !== name) throw new Malformed(`tuf: expected ${name} metadata`);
  if (!/^1\.0(\.\d{1,4})?$/.test(text(member(signed, "spec_version"), "spec_version"))) {
    throw new Malformed(`tuf: ${name}: spec_version is not 1.0`);
  }
  const expires = text(member(signed, "expires"), "expires");
  const time = new Date(expires);
  if (Number.isNaN(time.getTime()) || formatTime(time) !== expires) {
    throw new Malformed(`tuf: ${name}: expires is not a time in whole seconds, UTC`);
  }
  return { version: integer(member(signed, "version"), "version", 1), expires: time };
}

function parseRoleKeys(role: JsonObject, known: ReadonlySet<string>): RoleKeys {
  const keyids = array(member(role, "keyids")).map((value) => text(value, "keyid"));
  if (new Set(keyids).size !== keyids.length || keyids.some((keyid) => !known.has(keyid))) {
    throw new Malformed("tuf: root: a role names a key twice or one that is not there");
  }
  const threshold = integer(member(role, "threshold"), "threshold", 1);
  if (threshold > keyids.length) throw new Malformed("tuf: root: a threshold beyond its keys");
  return { keyids, threshold };
}

function formatMeta({ version, length, sha256 }: FileMeta): JsonObject {
  return {
    version,
    ...(length !== undefined && { length }),
    ...(sha256 && { hashes: { sha256: encodeHex(sha256) } }),
  };
}

function parseMeta(signed: JsonObject, name: string): FileMeta {
  const meta = object(member(object(member(signed, "meta")), name));
  const has = (wanted: string) => Object.hasOwn(meta, wanted);
  return {
    version: integer(member(meta, "version"), "version", 1),
    ...(has("length") && { length: integer(member(meta, "length"), "length", 0) }),
    ...(has("hashes") && { sha256: digest(member(object(member(meta, "hashes")), "sha256")) }),
  };
}

function formatTime(time: Date): string {
  return time.toISOString().replace(/\.\d{3}Z$/, "Z");
}

function canonicalInteger(value: number): string {
  if (!Number.isSafeInteger(value)) {
    throw new Malformed("tuf: canonical JSON has only integers that a double holds exactly");
  }
  return String(value); // negative zero becomes "0"
}

function canonicalString(value: string): string {
  if (!value.isWellFormed()) throw new Malformed("tuf: lone surrogate");
  return `"${value.replaceAll(/["\\]/g, "\\$&")}"`;
}

/** UTF-16 order, which `sort` would give, differs from code point order above U+FFFF; the order of UTF-8 does not. */
function compareCodePoints(a: string, b: string): number {
  return Buffer.compare(encodeUtf8(a), encodeUtf8(b));
}

function isArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function member(parent: JsonObject, name: string): JsonValue {
  const value = Object.hasOwn(parent, name) ? parent[name] : undefined;
  if (value === undefined) throw new Malformed(`tuf: "${name}" is missing`);
  return value;
}

function object(value: JsonValue): JsonObject {
  if (value === null || typeof value !== "object" || isArray(value)) {
    throw new Malformed("tuf: expected an object");
  }
  return value;
}

function array(value: JsonValue): readonly JsonValue[] {
  if (!isArray(value)) throw new Malformed("tuf: expected an array");
  return value;
}

function text(value: JsonValue, name: string): string {
  if (typeof value !== "string") throw new Malformed(`tuf: "${name}": expected a string`);
  return value;
}

function integer(value: JsonValue, name: string, least: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least) {
    throw new Malformed(`tuf: "${name}": expected an integer of at least ${least}`);
  }
  return value;
}

function digest(value: JsonValue): Uint8Array {
  const bytes = decodeHex(text(value, "sha256"));
  if (bytes.length !== 32) throw new Malformed("tuf: expected a SHA-256");
  return bytes;
}
