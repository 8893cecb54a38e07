/** A provider out of Fulcio's `ci-issuer-metadata`: the same names and the same bytes, without the ways in which a claim could shadow a constant. */
import { Malformed } from "../../core/formats/malformed.ts";
import { type GoNode, parseGoTemplate } from "./go-template.ts";
import type { ClaimRule, Provider } from "./provider.ts";

/** One entry of `ci-issuer-metadata`. */
export interface CiMetadata {
  readonly name: string;
  readonly defaults: ReadonlyMap<string, string>;
  /** Templates by arc, ascending. */
  readonly extensions: readonly { readonly arc: number; readonly template: string }[];
  readonly san: string;
}

/** The arcs of Fulcio's extension templates, by their names in YAML and in JSON. */
export const extensionArcs: ReadonlyMap<string, number> = new Map(
  [
    ["github-workflow-trigger", "GithubWorkflowTrigger", 2],
    ["github-workflow-sha", "GithubWorkflowSHA", 3],
    ["github-workflow-name", "GithubWorkflowName", 4],
    ["github-workflow-repository", "GithubWorkflowRepository", 5],
    ["github-workflow-ref", "GithubWorkflowRef", 6],
    ["build-signer-uri", "BuildSignerURI", 9],
    ["build-signer-digest", "BuildSignerDigest", 10],
    ["runner-environment", "RunnerEnvironment", 11],
    ["source-repository-uri", "SourceRepositoryURI", 12],
    ["source-repository-digest", "SourceRepositoryDigest", 13],
    ["source-repository-ref", "SourceRepositoryRef", 14],
    ["source-repository-identifier", "SourceRepositoryIdentifier", 15],
    ["source-repository-owner-uri", "SourceRepositoryOwnerURI", 16],
    ["source-repository-owner-identifier", "SourceRepositoryOwnerIdentifier", 17],
    ["build-config-uri", "BuildConfigURI", 18],
    ["build-config-digest", "BuildConfigDigest", 19],
    ["build-trigger", "BuildTrigger", 20],
    ["run-invocation-uri", "RunInvocationURI", 21],
    ["source-repository-visibility-at-signing", "SourceRepositoryVisibilityAtSigning", 22],
    ["deployment-environment", "DeploymentEnvironment", 23],
  ].flatMap(([yaml, json, arc]) => [
    [String(yaml), Number(arc)],
    [String(json), Number(arc)],
  ]),
);

/** @throws {Malformed} on a template that cannot be carried over. */
export function providerFrom(metadata: CiMetadata): Provider {
  const names = new Map<string, string>();
  const claims: { [name: string]: ClaimRule } = {};
  const choices: NonNullable<Provider["choices"]> & { [name: string]: object } = {};
  const nameOf = (key: string): string => {
    const known = names.get(key);
    if (known !== undefined) return known;
    const plain = key.replaceAll(/[^A-Za-z0-9_]/g, "_").replace(/^[^A-Za-z]/, "c");
    const name = Object.hasOwn(claims, plain) ? `${plain}_${names.size}` : plain;
    names.set(key, name);
    claims[name] = ruleOf(key, name, metadata.defaults.get(key));
    return name;
  };
  const convert = (template: string): string =>
    parseGoTemplate(template)
      .map((node) => {
        if ("text" in node) return plainText(node.text);
        const name = nameOf(node.key);
        if (!("equals" in node)) return `{claims.${name}}`;
        const choice = `choice${Object.keys(choices).length + 1}`;
        const { equals, chosen, otherwise } = node;
        if (/^(?:true|false)$/.test(equals)) claims[name] = { ...claims[name], type: "flag" };
        choices[choice] = { of: `{claims.${name}}`, cases: { [equals]: chosen }, otherwise };
        return `{choice.${choice}}`;
      })
      .join("");
  const san = convert(metadata.san);
  const named = bindName(parseGoTemplate(metadata.san), metadata.defaults, nameOf, claims);
  const extensions = metadata.extensions.map(({ arc, template }) => ({
    arc,
    template: convert(template),
  }));
  return {
    type: `fulcio-${metadata.name}`,
    version: 1,
    title: `${metadata.name}, from Fulcio's configuration`,
    issuers: [],
    claims,
    choices,
    challenge: "sub",
    san: { kind: "uri", template: san },
    uniqueBy: named,
    extensions,
  };
}

/**
 * A default that is empty is what Fulcio writes for an optional claim. One that is an address stands for the provider's own: a token
 * may state another one of the issuer's domain. Any other default is a constant, and a token that states something else is refused.
 */
function ruleOf(key: string, name: string, fallback: string | undefined): ClaimRule {
  const at = key === name ? {} : { at: [key] };
  if (fallback === undefined) return { ...at, type: "text", required: true };
  if (fallback === "") return { ...at, type: "text", default: "" };
  const value = plainText(fallback);
  if (/^https:\/\/[a-z0-9.-]+(?::\d+)?$/.test(fallback)) {
    return { ...at, type: "origin", default: value };
  }
  return { ...at, type: "text", default: value, equals: value };
}

/** Binds the claims of a name so that it is unambiguous and cannot leave the issuer's host. Gives those that make a principal. */
function bindName(
  nodes: readonly GoNode[],
  defaults: ReadonlyMap<string, string>,
  nameOf: (key: string) => string,
  claims: { [name: string]: ClaimRule },
): string[] {
  const free = nodes.filter((node) => "key" in node && (defaults.get(node.key) ?? "") === "");
  const keys = [...new Set(free.flatMap((node) => ("key" in node ? [node.key] : [])))];
  if (keys.length === 0) throw new Malformed("the name does not depend on the token");
  if (nodes.some((node) => "equals" in node)) {
    throw new Malformed("the name depends on a condition, which gives one name to many");
  }
  // One claim may have slashes: the one in front of another separator, or the only one there is.
  const wide = keys.length === 1 ? keys[0] : keys.find((key) => followedBySeparator(nodes, key));
  for (const key of keys) {
    const name = nameOf(key);
    const rule = claims[name];
    if (rule !== undefined) claims[name] = { ...rule, type: key === wide ? "path" : "word" };
  }
  // `https://{{ .claim }}`: what the claim begins with is the host, and must be the issuer's.
  const [first, second] = nodes;
  if (first !== undefined && "text" in first && /^https:\/\/$/.test(first.text)) {
    const key = second !== undefined && "key" in second ? second.key : "";
    const name = nameOf(key);
    const rule = claims[name];
    if (rule !== undefined) claims[name] = { ...rule, startsWith: "{iss.host}/" };
  }
  const origin = first !== undefined && "key" in first ? [nameOf(first.key)] : [];
  return [...new Set([...origin, ...keys.map(nameOf)])];
}

function followedBySeparator(nodes: readonly GoNode[], key: string): boolean {
  const at = nodes.findIndex((node) => "key" in node && node.key === key);
  const next = nodes[at + 1];
  return next !== undefined && "text" in next && /^[:#?%]/.test(next.text);
}

function plainText(text: string): string {
  if (/[{}]/.test(text)) throw new Malformed(`"${text}": braces in a text`);
  return text;
}
