/** Questions that rules put to a script: which steps there are of a kind, what they make, and what they use. */
import type { Script, Step, StepOf } from "./script.ts";

/** A rule that a script must obey. */
export interface ScriptRule {
  readonly id: string;
  /** What is wrong, one sentence each; none if nothing is. */
  readonly findings: (script: Script) => readonly string[];
}

/** The token that the running instance has open. */
export const online = "online";

/** Makes a key known. */
export type KeyStep = StepOf<"generateKey"> | StepOf<"useKey">;
/** Makes a token known. */
export type TokenStep = StepOf<"initialiseToken"> | StepOf<"openToken">;

/** True if it makes a key known. */
export function isKeyStep(step: Step): step is KeyStep {
  return step.step === "generateKey" || step.step === "useKey";
}

/** True if it makes a token known. */
export function isTokenStep(step: Step): step is TokenStep {
  return step.step === "initialiseToken" || step.step === "openToken";
}

/** Every step that makes a key known. */
export const keySteps = (steps: readonly Step[]): readonly KeyStep[] => steps.filter(isKeyStep);
/** Every step that makes a token known. */
export const tokenSteps = (steps: readonly Step[]): readonly TokenStep[] =>
  steps.filter(isTokenStep);

/** Every step of a kind. */
export function of<Kind extends Step["step"]>(
  steps: readonly Step[],
  kind: Kind,
): readonly StepOf<Kind>[] {
  return steps.filter((step): step is StepOf<Kind> => step.step === kind);
}

/** The token on which a key is. */
export function tokenOf(steps: readonly Step[], key: string): string | undefined {
  return keySteps(steps).find(({ label }) => label === key)?.token;
}

/** The keys of a new repository's root. */
export function rootKeys({ rootKey }: StepOf<"tufRepository">): readonly string[] {
  return typeof rootKey === "string" ? [rootKey] : rootKey;
}

/** Keys that a thief of the running machine must not reach. */
export function offlineKeys(steps: readonly Step[]): ReadonlySet<string> {
  return new Set([
    ...of(steps, "rootCertificate").map(({ key }) => key),
    ...of(steps, "intermediateCertificate").map(({ key }) => key),
    ...of(steps, "tufRoot").flatMap(({ add = [], signedBy }) => [...add, ...signedBy]),
    ...of(steps, "tufRepository").flatMap((step) => [...rootKeys(step), step.targetsKey]),
  ]);
}

/** Keys that a step needs. */
export function keysUsed(step: Step): readonly string[] {
  switch (step.step) {
    case "publishKey":
    case "useCertificate":
    case "rootCertificate":
    case "singleCertificate":
    case "bindKey":
    case "retireKey":
    case "destroyKey":
      return [step.key];
    case "intermediateCertificate":
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
    case "tufRoot":
      return [
        ...(step.add ?? []),
        ...(step.remove ?? []).flatMap((one) => ("key" in one ? [one.key] : [])),
        ...step.signedBy,
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

/** Keys whose certificate is known from a step on. */
export function certificatesMade(step: Step): readonly string[] {
  return step.step.endsWith("Certificate") && "key" in step ? [step.key] : [];
}

/** Keys whose certificate a step needs. */
export function certificatesUsed(step: Step): readonly string[] {
  if (step.step === "trustMaterial") {
    return [step.issuingKey, ...(step.timestamps ? [step.timestamps.key] : [])];
  }
  return "issuer" in step && step.issuer !== undefined && "key" in step ? [step.issuer] : [];
}

/** Names that a step uses although no step before it made them. */
export function before(
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

/** What stands in a list more than once. */
export function repeated(names: readonly string[]): readonly string[] {
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
}
