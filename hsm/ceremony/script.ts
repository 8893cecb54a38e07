/** Ceremony scripts: YAML, a list of typed steps. What a script does not say, a ceremony does not do; what it says wrongly, it does not start. */
import { hash } from "node:crypto";
import * as v from "valibot";
import { parse } from "yaml";
import { encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { VaultRefused } from "../errors.ts";
import { purposes } from "../keyring.ts";
import { keyLabel } from "../../events/hsm.ts";

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(256));
/** A path below the home, without a way out of it. */
const path = v.pipe(v.string(), v.regex(/^[\w-][\w.-]*(?:\/[\w-][\w.-]*)*$/));
const token = v.picklist(["online", "offline"]);
const algorithm = v.picklist(["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096"]);
const years = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(30));
const days = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(3_650));

const initialiseToken = v.strictObject({
  step: v.literal("initialiseToken"),
  token,
  label: v.pipe(text, v.maxLength(32)),
  pinFile: path,
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
const timestampCertificate = v.strictObject({
  step: v.literal("timestampCertificate"),
  key: keyLabel,
  issuer: keyLabel,
  organization: text,
  commonName: text,
  years,
  out: path,
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
  rootKey: keyLabel,
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
const vaultState = v.strictObject({
  step: v.literal("vaultState"),
  token,
  keyringOut: path,
  stateOut: path,
});

const script = v.strictObject({
  ceremony: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,63}$/)),
  version: v.literal(1),
  parameters: v.array(v.pipe(v.string(), v.regex(/^[a-z][A-Za-z0-9]*$/))),
  steps: v.pipe(
    v.array(
      v.variant("step", [
        initialiseToken,
        generateKey,
        rootCertificate,
        issuingCertificate,
        timestampCertificate,
        tlsCertificate,
        trustMaterial,
        tufRepository,
        vaultState,
      ]),
    ),
    v.minLength(1),
  ),
});

/** A script with its parameters filled in. */
export type Script = v.InferOutput<typeof script> & {
  /** SHA-256 of the file, lower-case hex. */
  readonly sha256: string;
};

/** One step. */
export type Step = Script["steps"][number];
/** A step of one kind. */
export type StepOf<Kind extends Step["step"]> = Extract<Step, { step: Kind }>;
/** Which of a ceremony's tokens. */
export type TokenName = v.InferOutput<typeof token>;

/** @throws {VaultRefused} if the script, or a parameter, is not what it must be */
export function parseScript(
  source: string,
  parameters: { readonly [name: string]: string },
): Script {
  const declared = v.safeParse(
    v.looseObject({ parameters: script.entries.parameters }),
    yaml(source),
  );
  if (!declared.success) throw new VaultRefused("the ceremony script declares no parameters");
  const wanted = declared.output.parameters;
  const given = Object.keys(parameters);
  const missing = wanted.find((name) => !given.includes(name));
  const unknown = given.find((name) => !wanted.includes(name));
  if (missing !== undefined)
    throw new VaultRefused(`the ceremony needs the parameter "${missing}"`);
  if (unknown !== undefined) throw new VaultRefused(`the ceremony knows no parameter "${unknown}"`);
  const parsed = v.safeParse(script, filled(declared.output, parameters));
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new VaultRefused(
      `the ceremony script is not valid: ${v.getDotPath(issue) ?? "top level"}: ${issue.message}`,
    );
  }
  return { ...parsed.output, sha256: encodeHex(hash("sha256", encodeUtf8(source), "buffer")) };
}

/** Every file or folder that a step makes, which therefore must not exist before. */
export function outputsOf(step: Step): readonly string[] {
  switch (step.step) {
    case "initialiseToken":
      return [step.pinFile];
    case "generateKey":
      return [];
    case "rootCertificate":
    case "issuingCertificate":
    case "timestampCertificate":
      return [step.out];
    case "tlsCertificate":
      return [step.keyOut, step.certificateOut, step.authorityOut];
    case "trustMaterial":
      return [
        step.trustedRootOut,
        step.signingConfigOut,
        ...(step.logV2 ? [step.logV2.signingConfigOut] : []),
      ];
    case "tufRepository":
      return [`${step.out}/1.root.json`, `${step.out}/1.targets.json`, step.rootCopyOut];
    case "vaultState":
      return [step.keyringOut, `${step.stateOut}/vault.db`];
  }
}

function yaml(source: string): unknown {
  try {
    return parse(source, { strict: true, uniqueKeys: true, maxAliasCount: 0 });
  } catch {
    throw new VaultRefused("the ceremony script is not YAML");
  }
}

function filled(value: unknown, parameters: { readonly [name: string]: string }): unknown {
  if (typeof value === "string") {
    return value.replaceAll(/\$\{(\w*)\}/g, (_, name: string) => {
      const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
      if (parameter === undefined) {
        throw new VaultRefused(`the ceremony script names an undeclared parameter "${name}"`);
      }
      return parameter;
    });
  }
  if (Array.isArray(value)) return value.map((one) => filled(one, parameters));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, filled(member, parameters)]),
  );
}
