/** Rules that a ceremony script must obey before it is rehearsed or performed. Each stands in ASSURANCE.md with its reason. */
import { VaultRefused } from "../errors.ts";
import { isPurposeOf } from "../keyring.ts";
import type { Script } from "./script.ts";
import {
  before,
  certificatesMade,
  certificatesUsed,
  isKeyStep,
  isTokenStep,
  keySteps,
  keysUsed,
  of,
  online,
  repeated,
  type ScriptRule,
  tokenSteps,
} from "./script-queries.ts";
import { outputsOf } from "./steps.ts";
import { trustRules } from "./trust-rules.ts";

/** One broken rule. */
export interface ScriptFinding {
  readonly rule: string;
  readonly message: string;
}

const rules: readonly ScriptRule[] = [
  {
    id: "labels-unique",
    findings: ({ steps }) =>
      repeated(keySteps(steps).map(({ label }) => label)).map(
        (it) => `two keys are called "${it}"`,
      ),
  },
  {
    id: "tokens-unique",
    findings: ({ steps }) =>
      repeated(tokenSteps(steps).map(({ token }) => token)).map(
        (it) => `the token "${it}" is opened twice`,
      ),
  },
  {
    id: "outputs-unique",
    findings: ({ steps }) =>
      repeated(steps.flatMap(outputsOf)).map((path) => `${path} is written twice`),
  },
  {
    id: "token-before-use",
    findings: ({ steps }) =>
      before(
        steps,
        (step) => (isTokenStep(step) ? [step.token] : []),
        (step) => (isKeyStep(step) || step.step === "vaultState" ? [step.token] : []),
      ).map((token) => `the token "${token}" is used before it is initialised or opened`),
  },
  {
    id: "key-before-use",
    findings: ({ steps }) =>
      before(steps, (step) => (isKeyStep(step) ? [step.label] : []), keysUsed).map(
        (key) => `the key "${key}" is used before it is generated`,
      ),
  },
  {
    id: "certificate-before-use",
    findings: ({ steps }) =>
      before(steps, certificatesMade, certificatesUsed).map(
        (key) => `the certificate of "${key}" is used before it is made`,
      ),
  },
  {
    id: "online-bound",
    findings: ({ steps }) =>
      of(steps, "generateKey")
        .filter(
          ({ token, purposes, askers }) =>
            token === online && !(purposes?.length && askers?.length),
        )
        .map(({ label }) => `the online key "${label}" has no purposes or no askers`),
  },
  {
    id: "offline-unbound",
    findings: ({ steps }) =>
      of(steps, "generateKey")
        .filter(
          ({ token, purposes, askers }) => token !== online && (purposes ?? askers) !== undefined,
        )
        .map(
          ({ label }) =>
            `the offline key "${label}" has purposes or askers, but no vault serves it`,
        ),
  },
  {
    id: "ed25519-checkpoints",
    findings: ({ steps }) => [
      ...of(steps, "generateKey")
        .filter(
          ({ algorithm, purposes }) =>
            algorithm === "ed25519" && (!purposes || !isPurposeOf(algorithm, purposes)),
        )
        .map(({ label }) => `the Ed25519 key "${label}" is to sign more than checkpoints of a log`),
      ...of(steps, "trustMaterial")
        .flatMap(({ logKey, ctKey }) => [logKey, ctKey])
        .filter(
          (label) =>
            keySteps(steps)
              .find((key) => key.label === label)
              ?.algorithm.startsWith("ecdsa-") === false,
        )
        .map((label) => `clients of Rekor v1 and CT logs take no signature of "${label}"`),
    ],
  },
  {
    id: "transcript-key",
    findings: ({ steps, transcriptKey }) => {
      const key = keySteps(steps).find(({ label }) => label === transcriptKey);
      if (!key) return [`no step makes or finds the transcript's key "${transcriptKey}"`];
      return key.algorithm.startsWith("ecdsa-") ? [] : ["the transcript's key is not ECDSA"];
    },
  },
  {
    id: "secrets-apart",
    findings: ({ steps }) =>
      steps
        .flatMap((step) => {
          if (isTokenStep(step)) return step.pinFile === undefined ? [] : [step.pinFile];
          return step.step === "tlsCertificate" ? [step.keyOut] : [];
        })
        .filter((path) => !path.startsWith("secrets/"))
        .map((path) => `${path} is secret but not below secrets/`),
  },
  {
    id: "state-complete",
    findings: ({ steps }) =>
      of(steps, "vaultState").flatMap((state) =>
        of(steps.slice(steps.indexOf(state)), "generateKey")
          .filter(({ token }) => token === state.token)
          .map(({ label }) => `"${label}" is generated after the keyring was written`),
      ),
  },
  {
    id: "destroy-confirmed",
    findings: ({ steps }) =>
      of(steps, "destroyKey")
        .filter(({ key, confirm, confirmPublicKeySha256 }) => {
          const used = of(steps, "useKey").find(({ label }) => label === key);
          return confirm !== `destroy ${key}` || confirmPublicKeySha256 !== used?.publicKeySha256;
        })
        .map(
          ({ key }) =>
            `the destruction of "${key}" is not confirmed twice: by "destroy ${key}" and by the hash that its useKey pins`,
        ),
  },
  ...trustRules,
];

/** The ids of all rules. */
export const scriptRules: readonly string[] = rules.map(({ id }) => id);

/** Every rule that a script breaks. */
export function findingsIn(script: Script): readonly ScriptFinding[] {
  return rules.flatMap(({ id, findings }) =>
    findings(script).map((message) => ({ rule: id, message })),
  );
}

/** @throws {VaultRefused} naming every broken rule */
export function lintScript(script: Script): void {
  const findings = findingsIn(script);
  if (findings.length === 0) return;
  const told = findings.map(({ rule, message }) => `${rule}: ${message}`).join("; ");
  throw new VaultRefused(`the ceremony script breaks its rules and is not performed: ${told}`);
}
