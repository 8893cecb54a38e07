/** Runs a provider's vectors and everything that is tried against every provider, and says what became of each. */
import { isDeepStrictEqual } from "node:util";
import type { KnownProvider } from "../issuers.ts";
import { faultsOf } from "../provider-check.ts";
import { hostileTrials } from "./hostile.ts";
import { createMockIssuer, type MockIssuer } from "./mock-issuer.ts";
import { createTrial, type Outcome, type Trial } from "./trial.ts";
import type { Vectors } from "./vectors.ts";

/** What became of one thing that was tried. */
export interface Finding {
  readonly name: string;
  /** Null if it is as it must be. */
  readonly fault: string | null;
}

/** Runs everything. Never throws for what a provider or its vectors are. */
export async function tryProvider(
  known: KnownProvider,
  vectors: Vectors,
): Promise<readonly Finding[]> {
  const mock = await createMockIssuer();
  const faults = faultsOf(known.provider);
  const findings: Finding[] = faults.map((fault) => ({ name: "contract", fault }));
  if (faults.length === 0) findings.push({ name: "contract", fault: null });
  findings.push(...(await runVectors(known, vectors, mock)));
  for (const vector of vectors.accepted) {
    const settings = { ...vectors.issuer, ...vector.issuer };
    for (const { name, run } of hostileTrials(known.provider)) {
      const fault = await guarded(async () => {
        const trial = createTrial(known, settings, mock);
        return await run({ trial, mock, claims: trial.complete(vector.claims) });
      });
      findings.push({ name: `${vector.name}: ${name}`, fault });
    }
  }
  return findings;
}

/** The vectors alone. */
async function runVectors(
  known: KnownProvider,
  vectors: Vectors,
  mock: MockIssuer,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const on = (issuer: object = {}): Trial =>
    createTrial(known, { ...vectors.issuer, ...issuer }, mock);
  for (const vector of vectors.accepted) {
    const fault = await guarded(async () => {
      const trial = on(vector.issuer);
      return differs(await trial.present(trial.complete(vector.claims)), vector, trial);
    });
    findings.push({ name: vector.name, fault });
  }
  const [first] = vectors.accepted;
  for (const { name, issuer, change, because } of vectors.refused) {
    const fault = await guarded(async () => {
      const trial = on({ ...first?.issuer, ...issuer });
      const changed = Object.entries({ ...trial.complete(first?.claims ?? {}), ...change });
      const claims = Object.fromEntries(changed.filter(([, value]) => value !== null));
      const outcome = await trial.present(claims);
      if ("verified" in outcome) return "was accepted";
      if (because === undefined || outcome.refused.includes(because)) return null;
      return `was refused because "${outcome.refused}", not because of "${because}"`;
    });
    findings.push({ name, fault });
  }
  return findings;
}

function differs(
  outcome: Outcome,
  vector: Vectors["accepted"][number],
  trial: Trial,
): string | null {
  if ("refused" in outcome) return `was refused: ${outcome.refused}`;
  const { principal, facets, assurance } = outcome.verified;
  const { subject, oidcIssuer, challenge, san, extensions } = principal;
  const got = {
    oidcIssuer,
    challenge,
    san,
    extensions: Object.fromEntries(extensions.map(({ arc, value }) => [String(arc), value])),
    ...(vector.facets && {
      facets: Object.fromEntries(facets.map((one) => [one.name, one.value])),
    }),
    ...(vector.assurance && { assurance }),
  };
  const wanted = {
    oidcIssuer: vector.oidcIssuer ?? trial.issuer.issuerUrl,
    challenge: vector.challenge ?? subject,
    san: vector.san,
    extensions: vector.extensions,
    ...(vector.facets && { facets: vector.facets }),
    ...(vector.assurance && { assurance: vector.assurance }),
  };
  for (const member of Object.keys(wanted) as (keyof typeof wanted)[]) {
    if (isDeepStrictEqual(got[member], wanted[member])) continue;
    return `${member} is ${JSON.stringify(got[member])}, not ${JSON.stringify(wanted[member])}`;
  }
  return null;
}

async function guarded(work: () => Promise<string | null>): Promise<string | null> {
  try {
    return await work();
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : "failed";
  }
}
