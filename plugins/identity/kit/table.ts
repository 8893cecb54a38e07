/** The documentation of providers, out of the providers themselves. */
import { encodeHex } from "../../../core/formats/encoding.ts";
import { fulcioArcs } from "../../../core/formats/fulcio-oids.ts";
import type { KnownProvider } from "../issuers.ts";
import type { ClaimRule, TokenSource } from "../provider.ts";

/** All providers as Markdown: who they are, their issuers, their claims, and what a certificate says of them. */
export function formatProviders(providers: readonly KnownProvider[]): string {
  const overview = providers.map(({ provider }) => {
    const { type, title, san, needs = [] } = provider;
    const link = `[\`${type}\`](#${type})`;
    return row(link, title, code(san.template), needs.map(code).join(" "));
  });
  return [
    "# Providers",
    "",
    "Written by `chancery provider docs`; a test holds it against the providers. How to add one: [README.md](README.md).",
    "",
    row("provider", "for", "name in the certificate", "needs"),
    row("---", "---", "---", "---"),
    ...overview,
    "",
    ...providers.flatMap(section),
  ].join("\n");
}

function section({ provider, sha256 }: KnownProvider): string[] {
  const { type, title, version, issuers, claims, extensions, san, constants = {} } = provider;
  const subject: { readonly [name: string]: ClaimRule } = {
    sub: { type: "text", required: true },
  };
  const choices = Object.entries(provider.choices ?? {}).map(([name, { of, cases, otherwise }]) => {
    const each = Object.entries(cases).map(
      ([value, text]) => `${code(text)} if ${code(of)} is ${code(value)}`,
    );
    return `- \`{choice.${name}}\` is ${each.join(", ")}${otherwise === undefined ? "" : `, else ${code(otherwise)}`}`;
  });
  return [
    `## ${type}`,
    "",
    `${title}. Version ${version}, mapping \`${encodeHex(sha256)}\`.`,
    "",
    issuers.length === 0
      ? "Any issuer that the configuration names."
      : `Issuers: ${issuers.map(({ url }) => code(url)).join(", ")}.`,
    "",
    row("claim", "what it must be", "note"),
    row("---", "---", "---"),
    ...Object.entries({ ...subject, ...claims }).map(([name, rule]) =>
      row(code((rule.at ?? [name]).join(" › ")), describe(rule), rule.note ?? ""),
    ),
    "",
    ...Object.entries(constants).map(([name, value]) => `- \`{const.${name}}\` is ${code(value)}`),
    ...choices,
    ...(choices.length + Object.keys(constants).length > 0 ? [""] : []),
    row("certificate", "value"),
    row("---", "---"),
    row(`name (${san.kind})`, code(san.template)),
    row("1, 8 issuer", code(provider.issuer ?? "{iss}")),
    ...extensions.map(({ arc, template }) => row(`${arc} ${nameOf(arc)}`, code(template))),
    row("24 tokenSubject", code("{claims.sub}")),
    "",
    ...tokenSources(provider.tokenSources),
  ];
}

function tokenSources(sources: readonly TokenSource[] = []): string[] {
  if (sources.length === 0) return [];
  const each = sources.map((source) => {
    switch (source.kind) {
      case "environment":
        return `the variable \`${source.variable}\``;
      case "file":
        return `the file \`${source.path}\``;
      case "request":
        return `${source.method} ${code(source.url)}`;
      case "spiffe":
        return `the workload API at ${code(source.socket)}`;
    }
  });
  return [`A client finds a token in ${each.join(", or ")}.`, ""];
}

function describe(rule: ClaimRule): string {
  const parts = [rule.required === true ? `**${rule.type}**` : `${rule.type}, optional`];
  if (rule.default !== undefined) parts.push(`else ${code(rule.default)}`);
  if (rule.equals !== undefined) parts.push(`is ${code(rule.equals)}`);
  if (rule.startsWith !== undefined) parts.push(`begins with ${code(rule.startsWith)}`);
  if (rule.within !== undefined) parts.push(`within ${code(rule.within)}`);
  if (rule.oneOf !== undefined) parts.push(`one of ${rule.oneOf.map(code).join(" ")}`);
  if (rule.without !== undefined) parts.push(`without ${rule.without.map(code).join(" ")}`);
  if (rule.immutable === true) parts.push("never given to another");
  if (rule.personal === true) parts.push("personal");
  return parts.join(", ");
}

function nameOf(arc: number): string {
  return Object.entries(fulcioArcs).find(([, number]) => number === arc)?.[0] ?? "";
}

function code(text: string): string {
  return `\`${text}\``;
}

function row(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", String.raw`\|`)).join(" | ")} |`;
}
