/** Rules that a ceremony script must obey before it is rehearsed or performed. Each stands in ASSURANCE.md with its reason. */
import { VaultRefused } from "../errors.ts";
import type { Script, Step, StepOf } from "./script.ts";
import { outputsOf } from "./steps.ts";

interface ScriptRule {
  readonly id: string;
  /** What is wrong, one sentence each; none if nothing is. */
  readonly findings: (script: Script) => readonly string[];
}

/** One broken rule. */
export interface ScriptFinding {
  readonly rule: string;
  readonly message: string;
}

const online = "online";
const maxRootYears = 25;

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
    id: "roots-offline",
    findings: ({ steps }) =>
      [...offlineKeys(steps)]
        .filter((label) => tokenOf(steps, label) === online)
        .map((label) => `"${label}" is on the online token`),
  },
  {
    id: "root-strength",
    findings: ({ steps }) =>
      of(steps, "rootCertificate")
        .map(({ key }) => keySteps(steps).find(({ label }) => label === key))
        .filter((key) => key && !["ecdsa-p384", "rsa-3072", "rsa-4096"].includes(key.algorithm))
        .map((key) => `the root "${key?.label}" is weaker than P-384 or RSA-3072`),
  },
  {
    id: "root-lifetime",
    findings: ({ steps }) =>
      of(steps, "rootCertificate")
        .filter(({ years }) => years > maxRootYears)
        .map(({ key }) => `the root "${key}" would live longer than ${maxRootYears} years`),
  },
  {
    id: "validity-nested",
    findings: ({ steps }) => {
      const roots = new Map(of(steps, "rootCertificate").map(({ key, years }) => [key, years]));
      return [...of(steps, "issuingCertificate"), ...of(steps, "timestampCertificate")]
        .filter(({ issuer, years }) => years > (roots.get(issuer) ?? Infinity))
        .map(({ key }) => `the certificate of "${key}" would outlive its root`);
    },
  },
  {
    id: "tuf-threshold",
    findings: ({ steps }) =>
      of(steps, "tufRepository")
        .filter((step) => (step.rootThreshold ?? 1) > new Set(rootKeys(step)).size)
        .map(() => "the TUF root's threshold is higher than it has keys"),
  },
  {
    id: "tuf-separate-tokens",
    findings: ({ steps }) =>
      of(steps, "tufRepository")
        .filter((step) => (step.rootThreshold ?? 1) > 1)
        .flatMap((step) => repeated(rootKeys(step).map((label) => tokenOf(steps, label) ?? label)))
        .map(
          (token) =>
            `two keys of the TUF root are on the token "${token}", so one theft takes both`,
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

type KeyStep = StepOf<"generateKey"> | StepOf<"useKey">;
type TokenStep = StepOf<"initialiseToken"> | StepOf<"openToken">;

function isKeyStep(step: Step): step is KeyStep {
  return step.step === "generateKey" || step.step === "useKey";
}

function isTokenStep(step: Step): step is TokenStep {
  return step.step === "initialiseToken" || step.step === "openToken";
}

const keySteps = (steps: readonly Step[]): readonly KeyStep[] => steps.filter(isKeyStep);
const tokenSteps = (steps: readonly Step[]): readonly TokenStep[] => steps.filter(isTokenStep);

function of<Kind extends Step["step"]>(
  steps: readonly Step[],
  kind: Kind,
): readonly StepOf<Kind>[] {
  return steps.filter((step): step is StepOf<Kind> => step.step === kind);
}

function tokenOf(steps: readonly Step[], key: string): string | undefined {
  return keySteps(steps).find(({ label }) => label === key)?.token;
}

function rootKeys({ rootKey }: StepOf<"tufRepository">): readonly string[] {
  return typeof rootKey === "string" ? [rootKey] : rootKey;
}

/** Keys that a thief of the running machine must not reach. */
function offlineKeys(steps: readonly Step[]): ReadonlySet<string> {
  return new Set([
    ...of(steps, "rootCertificate").map(({ key }) => key),
    ...of(steps, "tufRepository").flatMap((step) => [...rootKeys(step), step.targetsKey]),
  ]);
}

function keysUsed(step: Step): readonly string[] {
  switch (step.step) {
    case "publishKey":
    case "useCertificate":
    case "rootCertificate":
    case "bindKey":
    case "retireKey":
    case "destroyKey":
      return [step.key];
    case "issuingCertificate":
    case "timestampCertificate":
      return [step.key, step.issuer];
    case "trustMaterial":
      return [
        step.issuingKey,
        step.ctKey,
        step.logKey,
        ...(step.logV2 ? [step.logV2.key] : []),
        ...(step.timestamps ? [step.timestamps.key] : []),
      ];
    case "tufRepository":
      return [
        ...rootKeys(step),
        step.targetsKey,
        step.snapshotKey,
        step.timestampKey,
        ...step.targets.flatMap(({ from }) => ("publicKey" in from ? [from.publicKey] : [])),
      ];
    case "initialiseToken":
    case "openToken":
    case "generateKey":
    case "useKey":
    case "tlsCertificate":
    case "vaultState":
      return [];
  }
}

function certificatesMade(step: Step): readonly string[] {
  const makes = ["useCertificate", "rootCertificate", "issuingCertificate", "timestampCertificate"];
  return makes.includes(step.step) && "key" in step ? [step.key] : [];
}

function certificatesUsed(step: Step): readonly string[] {
  if (step.step === "trustMaterial") {
    return [step.issuingKey, ...(step.timestamps ? [step.timestamps.key] : [])];
  }
  const isIssued = step.step === "issuingCertificate" || step.step === "timestampCertificate";
  return isIssued ? [step.issuer] : [];
}

/** Names that a step uses although no step before it made them. */
function before(
  steps: readonly Step[],
  makes: (step: Step) => readonly string[],
  uses: (step: Step) => readonly string[],
): readonly string[] {
  const made = new Set<string>();
  const missing = new Set<string>();
  for (const step of steps) {
    for (const name of uses(step)) if (!made.has(name)) missing.add(name);
    for (const name of makes(step)) made.add(name);
  }
  return [...missing];
}

function repeated(names: readonly string[]): readonly string[] {
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
}
