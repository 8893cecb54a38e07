/** The part of a verdict that says by which provider and mapping a principal came about. Its place in the bytes: `verdict.ts`. */
import { encodeHex } from "./encoding.ts";
import { Malformed } from "./malformed.ts";
import { bytesOf, list, members, text } from "./verdict-members.ts";

/** What is recorded of how a principal came about; the shape of `provenance` in `events/identity.ts`. */
export interface VerdictProvenance {
  readonly provider: string;
  readonly providerVersion: string;
  /** 32 bytes. */
  readonly mappingSha256: Uint8Array;
  readonly assurance: {
    readonly acr?: string | undefined;
    readonly amr?: readonly string[] | undefined;
    readonly authTimeS?: number | undefined;
  };
  readonly facets: readonly { readonly name: string; readonly value: string }[];
  readonly decision?:
    | {
        readonly rule: string;
        readonly policyVersion: string;
        /** 32 bytes. */
        readonly policySha256: Uint8Array;
      }
    | undefined;
}

/** The same as it is read, with arrays that may be handed on to the bus. */
export type ReadProvenance = Omit<VerdictProvenance, "assurance" | "facets"> & {
  readonly assurance: {
    readonly acr?: string;
    readonly amr?: string[];
    readonly authTimeS?: number;
  };
  readonly facets: { readonly name: string; readonly value: string }[];
};

/** As JSON with members in their order. @throws {Malformed} on a lone surrogate. */
export function writeProvenance(provenance: VerdictProvenance): object {
  const { provider, providerVersion, mappingSha256, assurance, facets, decision } = provenance;
  const { acr, amr, authTimeS } = assurance;
  const ordered = {
    provider,
    providerVersion,
    mappingSha256: encodeHex(mappingSha256),
    // JSON leaves out what is undefined.
    assurance: { acr, amr, authTimeS },
    facets: facets.map(({ name, value }) => ({ name, value })),
    decision: decision && {
      rule: decision.rule,
      policyVersion: decision.policyVersion,
      policySha256: encodeHex(decision.policySha256),
    },
  };
  const texts = [provider, providerVersion, acr ?? "", ...(amr ?? [])];
  for (const { name, value } of facets) texts.push(name, value);
  if (decision !== undefined) texts.push(decision.rule, decision.policyVersion);
  if (texts.some((one) => !one.isWellFormed())) throw new Malformed("verdict: lone surrogate");
  return ordered;
}

/** @throws {Malformed} unless it is of that shape; the verdict's bytes say whether it is in that order. */
export function readProvenance(value: unknown): ReadProvenance {
  const whole = members(value);
  const { acr, amr, authTimeS } = members(whole["assurance"]);
  if (authTimeS !== undefined && typeof authTimeS !== "number") {
    throw new Malformed("verdict: not a time");
  }
  const decision = whole["decision"];
  return {
    provider: text(whole["provider"]),
    providerVersion: text(whole["providerVersion"]),
    mappingSha256: bytesOf(whole["mappingSha256"], 32),
    assurance: {
      ...(acr !== undefined && { acr: text(acr) }),
      ...(amr !== undefined && { amr: list(amr).map(text) }),
      ...(authTimeS !== undefined && { authTimeS }),
    },
    facets: list(whole["facets"]).map((one) => {
      const facet = members(one);
      return { name: text(facet["name"]), value: text(facet["value"]) };
    }),
    ...(decision !== undefined && { decision: readDecision(decision) }),
  };
}

function readDecision(value: unknown) {
  const decision = members(value);
  return {
    rule: text(decision["rule"]),
    policyVersion: text(decision["policyVersion"]),
    policySha256: bytesOf(decision["policySha256"], 32),
  };
}
