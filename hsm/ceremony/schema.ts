/** What may stand in a ceremony script: a list of typed steps and nothing else. Published as `deploy/ceremonies/ceremony.schema.json`. */
import * as v from "valibot";
import { purposes } from "../keyring.ts";
import { keyAlgorithm as algorithm, keyLabel } from "../../events/hsm.ts";

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(256));
/** A path below the home, without a way out of it. */
const path = v.pipe(v.string(), v.regex(/^[\w-][\w.-]*(?:\/[\w-][\w.-]*)*$/));
const token = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,31}$/));
const sha256 = v.pipe(v.string(), v.minLength(1), v.maxLength(64));
const years = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(30));
const days = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(3_650));

const initialiseToken = v.strictObject({
  step: v.literal("initialiseToken"),
  token,
  label: v.pipe(text, v.maxLength(32)),
  /** Where a random PIN is left, for demos; without it the PIN is asked for. */
  pinFile: v.optional(path),
});
const openToken = v.strictObject({
  step: v.literal("openToken"),
  token,
  label: v.pipe(text, v.maxLength(32)),
  /** Of the device, as its maker engraved it. */
  serial: v.optional(text),
  pinFile: v.optional(path),
});
const generateKey = v.strictObject({
  step: v.literal("generateKey"),
  token,
  label: keyLabel,
  algorithm,
  purposes: v.optional(v.array(v.picklist(purposes))),
  askers: v.optional(v.array(text)),
  origin: v.optional(text),
  noteName: v.optional(text),
  roles: v.optional(v.array(v.picklist(["snapshot", "timestamp"]))),
  issuer: v.optional(text),
  policy: v.optional(v.pipe(v.string(), v.regex(/^[0-2](?:\.(?:0|[1-9]\d{0,9}))+$/))),
});
/** A key that is on an opened token already. */
const useKey = v.strictObject({
  step: v.literal("useKey"),
  token,
  label: keyLabel,
  algorithm,
  publicKeySha256: sha256,
});
const useCertificate = v.strictObject({
  step: v.literal("useCertificate"),
  key: keyLabel,
  file: path,
});
const publishKey = v.strictObject({ step: v.literal("publishKey"), key: keyLabel, out: path });
const rootCertificate = v.strictObject({
  step: v.literal("rootCertificate"),
  key: keyLabel,
  organization: text,
  commonName: text,
  years,
  out: path,
});
const issuingCertificate = v.strictObject({
  step: v.literal("issuingCertificate"),
  key: keyLabel,
  issuer: keyLabel,
  organization: text,
  commonName: text,
  years,
  out: path,
});
const intermediateCertificate = v.strictObject({
  step: v.literal("intermediateCertificate"),
  key: keyLabel,
  issuer: keyLabel,
  /** What everything below it is for. */
  purpose: v.picklist(["codeSigning", "timeStamping"]),
  /** How many CAs may be below it. */
  pathLength: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(8)),
  organization: text,
  commonName: text,
  years,
  out: path,
});
/** A CA that is its own root, for sites that keep none offline. */
const singleCertificate = v.strictObject({
  step: v.literal("singleCertificate"),
  key: keyLabel,
  organization: text,
  commonName: text,
  years,
  out: path,
});
const timestampCertificate = v.strictObject({
  step: v.literal("timestampCertificate"),
  key: keyLabel,
  issuer: keyLabel,
  organization: text,
  commonName: text,
  years,
  /** The leaf alone. */
  out: path,
  /** Leaf and everything above it. */
  chainOut: v.optional(path),
});
const tlsCertificate = v.strictObject({
  step: v.literal("tlsCertificate"),
  organization: text,
  names: v.pipe(v.array(text), v.minLength(1)),
  addresses: v.array(v.pipe(v.string(), v.ip())),
  days: v.pipe(days, v.maxValue(825)),
  keyOut: path,
  certificateOut: path,
  authorityOut: path,
});
const trustMaterial = v.strictObject({
  step: v.literal("trustMaterial"),
  origin: text,
  ctUrl: text,
  issuer: text,
  operator: text,
  commonName: text,
  issuingKey: keyLabel,
  ctKey: keyLabel,
  logKey: keyLabel,
  /** The key of a Rekor v2 log; with it, a second signing configuration that prefers that log. */
  logV2: v.optional(v.strictObject({ key: keyLabel, signingConfigOut: path })),
  /** A timestamp authority's key, and the whole URL of its service. */
  timestamps: v.optional(v.strictObject({ key: keyLabel, url: text, commonName: text })),
  trustedRootOut: path,
  signingConfigOut: path,
});
const tufRepository = v.strictObject({
  step: v.literal("tufRepository"),
  rootKey: v.union([keyLabel, v.pipe(v.array(keyLabel), v.minLength(1))]),
  /** How many of the root keys must sign; 1 unless said. */
  rootThreshold: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16))),
  targetsKey: keyLabel,
  snapshotKey: keyLabel,
  timestampKey: keyLabel,
  days,
  uri: text,
  targets: v.pipe(
    v.array(
      v.strictObject({
        name: v.pipe(v.string(), v.regex(/^[\w.-]+$/)),
        from: v.union([v.strictObject({ file: path }), v.strictObject({ publicKey: keyLabel })]),
        usage: v.optional(v.picklist(["Fulcio", "Rekor", "CTFE", "TSA"])),
      }),
    ),
    v.minLength(1),
  ),
  out: path,
  rootCopyOut: path,
});
/** The next version of a TUF root: its keys, its threshold or only its term changed. */
const tufRoot = v.strictObject({
  step: v.literal("tufRoot"),
  /** The root that is in force, and the hash by which everybody present knows it. */
  before: v.strictObject({ file: path, sha256 }),
  /** Keys of the ceremony that join. */
  add: v.optional(v.pipe(v.array(keyLabel), v.minLength(1))),
  /** Keys that leave: of the ceremony, or, where the token is lost, by the key id in the root. */
  remove: v.optional(
    v.pipe(
      v.array(v.union([v.strictObject({ key: keyLabel }), v.strictObject({ keyid: sha256 })])),
      v.minLength(1),
    ),
  ),
  /** How many must sign from now on; as before unless said. */
  threshold: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16))),
  /** Who signs: as many of the root before it as that demands, and of itself. */
  signedBy: v.pipe(v.array(keyLabel), v.minLength(1)),
  days,
  /** Ends with `N.root.json`, N its version. */
  out: path,
});
const vaultState = v.strictObject({
  step: v.literal("vaultState"),
  token,
  keyringOut: path,
  stateOut: path,
});

const keyringChange = { keyring: path, state: path };
const bindKey = v.strictObject({ step: v.literal("bindKey"), key: keyLabel, ...keyringChange });
const retireKey = v.strictObject({ step: v.literal("retireKey"), key: keyLabel, ...keyringChange });
const destroyKey = v.strictObject({
  step: v.literal("destroyKey"),
  key: keyLabel,
  ...keyringChange,
  /** `destroy LABEL`. */
  confirm: text,
  /** The SHA-256 of the key's public half, once more. */
  confirmPublicKeySha256: sha256,
});

/** The whole file, before and after its parameters are filled in. */
export const scriptSchema = v.strictObject({
  ceremony: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,63}$/)),
  version: v.literal(1),
  /** The key that signs the transcript. */
  transcriptKey: keyLabel,
  parameters: v.array(v.pipe(v.string(), v.regex(/^[a-z][A-Za-z0-9]*$/))),
  steps: v.pipe(
    v.array(
      v.variant("step", [
        initialiseToken,
        openToken,
        generateKey,
        useKey,
        useCertificate,
        publishKey,
        rootCertificate,
        issuingCertificate,
        intermediateCertificate,
        singleCertificate,
        timestampCertificate,
        tlsCertificate,
        trustMaterial,
        tufRepository,
        tufRoot,
        vaultState,
        bindKey,
        retireKey,
        destroyKey,
      ]),
    ),
    v.minLength(1),
  ),
});
