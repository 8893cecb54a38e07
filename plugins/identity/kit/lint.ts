/** What a reviewer of a provider would say: what is wrong, and what is worth a thought. */
import { parseIssuer } from "./trial.ts";
import { createIssuers, known, type KnownProvider } from "../issuers.ts";
import { faultsOf } from "../provider-check.ts";
import { shippedProviders } from "../shipped.ts";
import type { Vectors } from "./vectors.ts";

/** One remark. */
export interface Remark {
  readonly severity: "error" | "advice";
  readonly text: string;
}

/** Looks at a provider and, if there are, at its vectors. */
export function lintProvider(own: KnownProvider, vectors: Vectors | null): readonly Remark[] {
  const { provider } = own;
  const error = (text: string): Remark => ({ severity: "error", text });
  const advice = (text: string): Remark => ({ severity: "advice", text });
  const remarks = faultsOf(provider).map(error);
  if (shippedProviders.some(({ type }) => type === provider.type)) {
    remarks.push(error(`type: "${provider.type}" is the name of a provider that is shipped`));
  }
  if (vectors === null) remarks.push(error("no vectors: nobody could tell what it is meant to do"));
  else if (remarks.length === 0) remarks.push(...configured(own, vectors).map(error));
  if (vectors !== null && vectors.refused.length === 0) {
    remarks.push(advice("refused: write down at least one token that must be refused"));
  }
  const rules = Object.values(provider.claims);
  if (provider.san.kind === "uri" && !rules.some(({ immutable }) => immutable === true)) {
    remarks.push(
      advice(
        "claims: mark ids that are never given to another as immutable; names can be taken over",
      ),
    );
  }
  if (provider.issuers.length === 0) {
    remarks.push(advice("issuers: without a pattern, the base is the issuer's origin"));
  }
  if (Object.keys(provider.facets ?? {}).length === 0) {
    remarks.push(
      advice("facets: without any, certificates of this provider can only be found by name"),
    );
  }
  return remarks;
}

/** Whether the issuer of its vectors can be configured at all, beside those that are shipped. */
function configured(own: KnownProvider, vectors: Vectors): string[] {
  try {
    const config = parseIssuer({ ...vectors.issuer, provider: own.provider.type });
    const beside = shippedProviders.flatMap(({ type, issuers, needs = [] }) =>
      needs.length > 0
        ? []
        : issuers
            .filter(({ url }) => !url.includes("{") && url !== config.issuerUrl)
            .map(({ url }) => parseIssuer({ issuerUrl: url, provider: type })),
    );
    createIssuers([config, ...beside], [own, ...shippedProviders.map(known)]);
    return [];
  } catch (thrown) {
    return [thrown instanceof Error ? thrown.message : "cannot be configured"];
  }
}
