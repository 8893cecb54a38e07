/** Rules for what clients will trust: certificate authorities, timestamp authorities and TUF roots. */
import { basename } from "node:path";
import type { Step, StepOf } from "./script.ts";
import {
  keySteps,
  of,
  offlineKeys,
  online,
  repeated,
  rootKeys,
  type ScriptRule,
  tokenOf,
} from "./script-queries.ts";

const maxRootYears = 25;
const maxSingleYears = 10;

/** In the order in which they are told. */
export const trustRules: readonly ScriptRule[] = [
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
    id: "single-lifetime",
    findings: ({ steps }) =>
      of(steps, "singleCertificate")
        .filter(({ years }) => years > maxSingleYears)
        .map(
          ({ key }) =>
            `"${key}" has no root above it, so nothing replaces it, and would live longer than ${maxSingleYears} years`,
        ),
  },
  {
    id: "ca-strength",
    findings: ({ steps }) =>
      authorities(steps)
        .filter(({ step }) => step !== "rootCertificate" && step !== "timestampCertificate")
        .filter(({ key }) => algorithmOf(steps, key) === "rsa-2048")
        .map(({ key }) => `the CA "${key}" is weaker than P-256 or RSA-3072`),
  },
  {
    id: "timestamp-key",
    findings: ({ steps }) =>
      of(steps, "timestampCertificate")
        .filter(({ key }) => algorithmOf(steps, key)?.startsWith("rsa-") === true)
        .map(({ key }) => `not every client verifies timestamps by the RSA key "${key}"`),
  },
  {
    id: "names-unique",
    findings: ({ steps }) =>
      repeated(
        authorities(steps).map(({ organization, commonName }) => `${organization}, ${commonName}`),
      ).map((name) => `two certificates are called "${name}", so no chain could tell them apart`),
  },
  {
    id: "path-length",
    findings: ({ steps }) =>
      of(steps, "intermediateCertificate")
        .filter(({ key, pathLength }) => depthBelow(steps, key) > pathLength)
        .map(({ key }) => `"${key}" has more CAs below it than its path length allows`),
  },
  {
    id: "validity-nested",
    findings: ({ steps }) => {
      const above = new Map(authorities(steps).map(({ key, years }) => [key, years]));
      return authorities(steps)
        .filter((step) => "issuer" in step && step.years > (above.get(step.issuer) ?? Infinity))
        .map(({ key }) => `the certificate of "${key}" would outlive what is above it`);
    },
  },
  {
    id: "tuf-key-type",
    findings: ({ steps }) =>
      [
        ...of(steps, "tufRepository").flatMap((step) => [
          ...rootKeys(step),
          step.targetsKey,
          step.snapshotKey,
          step.timestampKey,
        ]),
        ...of(steps, "tufRoot").flatMap(({ add = [], signedBy }) => [...add, ...signedBy]),
      ]
        .filter((label) => (algorithmOf(steps, label) ?? "ecdsa-p256") !== "ecdsa-p256")
        .map((label) => `not every client verifies TUF metadata by "${label}": P-256 it must be`),
  },
  {
    id: "tuf-threshold",
    findings: ({ steps }) => [
      ...of(steps, "tufRepository")
        .filter((step) => (step.rootThreshold ?? 1) > new Set(rootKeys(step)).size)
        .map(() => "the TUF root's threshold is higher than it has keys"),
      ...of(steps, "tufRoot")
        .filter(({ threshold = 1, ...step }) => threshold > new Set(staying(step)).size)
        .map(() => "fewer keys of the new TUF root sign it than its threshold demands"),
    ],
  },
  {
    id: "tuf-separate-tokens",
    findings: ({ steps }) =>
      [
        ...of(steps, "tufRepository")
          .filter((step) => (step.rootThreshold ?? 1) > 1)
          .map(rootKeys),
        // A threshold that is left as it is may be any.
        ...of(steps, "tufRoot")
          .filter(({ threshold }) => threshold !== 1)
          .map(staying),
      ]
        .flatMap((labels) => repeated(labels.map((label) => tokenOf(steps, label) ?? label)))
        .map(
          (token) =>
            `two keys of the TUF root are on the token "${token}", so one theft takes both`,
        ),
  },
  {
    id: "tuf-added-sign",
    findings: ({ steps }) =>
      of(steps, "tufRoot").flatMap(({ add = [], signedBy }) =>
        add
          .filter((label) => !signedBy.includes(label))
          .map((label) => `"${label}" joins the TUF root without showing that it can sign`),
      ),
  },
  {
    id: "tuf-root-name",
    findings: ({ steps }) =>
      of(steps, "tufRoot")
        .filter(({ out }) => !/^([2-9]|[1-9]\d+)\.root\.json$/.test(basename(out)))
        .map(({ out }) => `${out} is not called after a version from 2 on, as clients ask for it`),
  },
];

type AuthorityStep = StepOf<
  | "rootCertificate"
  | "intermediateCertificate"
  | "issuingCertificate"
  | "singleCertificate"
  | "timestampCertificate"
>;

function authorities(steps: readonly Step[]): readonly AuthorityStep[] {
  return [
    ...of(steps, "rootCertificate"),
    ...of(steps, "intermediateCertificate"),
    ...of(steps, "issuingCertificate"),
    ...of(steps, "singleCertificate"),
    ...of(steps, "timestampCertificate"),
  ];
}

function algorithmOf(steps: readonly Step[], key: string): string | undefined {
  return keySteps(steps).find(({ label }) => label === key)?.algorithm;
}

/** How many CAs are below a CA, one below the other. A script that goes round in a circle breaks another rule. */
function depthBelow(steps: readonly Step[], issuer: string, seen: readonly string[] = []): number {
  const below = [...of(steps, "intermediateCertificate"), ...of(steps, "issuingCertificate")]
    .filter((step) => step.issuer === issuer && !seen.includes(step.key))
    .map(({ key }) => 1 + depthBelow(steps, key, [...seen, issuer]));
  return Math.max(0, ...below);
}

/** Keys of the new root that sign it. */
function staying({
  add = [],
  remove = [],
  signedBy,
}: Pick<StepOf<"tufRoot">, "add" | "remove" | "signedBy">): readonly string[] {
  const leaving = remove.flatMap((one) => ("key" in one ? [one.key] : []));
  return [...new Set([...add, ...signedBy])].filter((label) => !leaving.includes(label));
}
