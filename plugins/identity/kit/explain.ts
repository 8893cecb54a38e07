/**
 * A token looked at step by step, for whoever wants to know why it was refused: which checks it passed, which it did not, what a
 * certificate would say, and where the configuration decides that. The token's signature is never shown, nor what is personal.
 */
import { Malformed } from "../../../core/formats/malformed.ts";
import { Failure } from "../../../events/failure.ts";
import { parseIdToken } from "../id-token.ts";
import type { Issuer, Issuers } from "../issuers.ts";
import type { Step, Verified, Verify } from "../verifier.ts";

/** One check and what became of it. */
export interface Check {
  readonly name: string;
  readonly verdict: "passed" | "failed" | "not reached";
  /** Why, or what was found. */
  readonly detail: string;
}

/** What a token would come to. */
export interface Explanation {
  readonly accepted: boolean;
  readonly checks: readonly Check[];
  /** What a certificate would say, by extension or `name`; empty for a token that is refused. */
  readonly certificate: readonly { readonly what: string; readonly value: string }[];
  /** Where to look. */
  readonly hints: readonly string[];
  /** The issuer as it is configured; null if it is not. */
  readonly issuerUrl: string | null;
}

/** An explanation, and for a token that is believed what a policy decides by: personal, and not for a terminal. */
export interface Explained {
  readonly explanation: Explanation;
  readonly believed: Verified | null;
}

const steps: readonly (readonly [Step, string])[] = [
  ["form", "three parts, one encoding, an accepted kind of signature"],
  ["issuer", "an issuer that is configured"],
  ["signature", "signed by a key of the issuer"],
  ["claims", "audience and times"],
  ["mapping", "claims as the provider wants them"],
  ["use", "not used before"],
];

/** Verifies the token as a server does and tells how far it came. `verify` must not use it up. */
export async function explainToken(
  token: string,
  verify: Verify,
  issuers: Issuers,
): Promise<Explained> {
  const passed = new Set<Step>();
  let refusal: string | null = null;
  let believed: Verified | null = null;
  const issuer = issuerOf(token, issuers);
  try {
    believed = await verify(token, (step) => passed.add(step));
  } catch (thrown) {
    if (!(thrown instanceof Malformed) && !(thrown instanceof Failure)) throw thrown;
    refusal = thrown.message;
  }
  const failed = steps.find(([step]) => !passed.has(step))?.[0];
  const checks = steps.map(([step, name]): Check => {
    if (passed.has(step)) return { name, verdict: "passed", detail: foundAt(step, issuer) };
    const isFirst = step === failed && refusal !== null;
    return {
      name,
      verdict: isFirst ? "failed" : "not reached",
      detail: isFirst ? (refusal ?? "") : "",
    };
  });
  const explanation = {
    accepted: refusal === null,
    checks,
    certificate: believed === null ? [] : describe(believed.principal, believed.issuer),
    hints: hintsFor(failed, token, issuer),
    issuerUrl: issuer?.config.issuerUrl ?? null,
  };
  return { explanation, believed };
}

function issuerOf(token: string, issuers: Issuers): Issuer | null {
  try {
    return issuers.find(parseIdToken(token).issuer);
  } catch {
    return null;
  }
}

function foundAt(step: Step, issuer: Issuer | null): string {
  if (step !== "issuer" || issuer === null) return "";
  const { provider, providerVersion } = issuer.recorded;
  return `${issuer.url}, provider ${provider} version ${providerVersion}`;
}

function describe(
  { san, extensions, subject, oidcIssuer }: Awaited<ReturnType<Verify>>["principal"],
  { provider }: Issuer,
): Explanation["certificate"] {
  // What an extension or the name shows that a personal claim may be in is not for a terminal's history.
  const personal = new Set(
    Object.entries({ ...provider.claims }).flatMap(([name, rule]) =>
      rule.personal === true ? [`{claims.${name}}`] : [],
    ),
  );
  const hide = (template: string, value: string) =>
    [...personal].some((claim) => template.includes(claim)) ? "(personal)" : value;
  const templates = new Map(provider.extensions.map(({ arc, template }) => [arc, template]));
  return [
    { what: `name (${san.kind})`, value: hide(provider.san.template, san.value) },
    { what: "1, 8", value: oidcIssuer },
    ...extensions.map(({ arc, value }) => ({
      what: String(arc),
      value: hide(templates.get(arc) ?? "", value),
    })),
    { what: "24", value: hide("{claims.sub}", subject) },
  ];
}

function hintsFor(failed: Step | undefined, token: string, issuer: Issuer | null): string[] {
  const where = issuer === null ? "" : `identity.issuers: issuerUrl ${issuer.config.issuerUrl}`;
  switch (failed) {
    case undefined:
      return [];
    case "form":
      return ["the token itself: it is not one, or its algorithm is not accepted anywhere"];
    case "issuer":
      return [
        `identity.issuers: there is no entry whose issuerUrl is ${claimed(token)}, or its algorithms do not have the token's`,
      ];
    case "signature":
      return [
        "the token itself, if it was changed or cut on its way",
        `${where}: jwksOrigin, jwksFile and authorityFile say where its keys come from`,
      ];
    case "claims":
      return [`${where}: audience and maxLifetimeSeconds; identity.skewSeconds`];
    case "mapping":
      return [
        `${where}: provider ${issuer?.provider.type ?? ""}, whose claims "chancery provider docs" lists`,
      ];
    case "use":
      return [`${where}: oneTime`];
  }
}

function claimed(token: string): string {
  try {
    return JSON.stringify(parseIdToken(token).issuer.slice(0, 256));
  } catch {
    return "that of the token";
  }
}
