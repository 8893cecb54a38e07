/** Fulcio's own configuration file: read as it is, rendered as Fulcio renders it, or refused with the line. */
import { readFileSync } from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { readFulcioConfig } from "../../plugins/identity/fulcio-config.ts";
import { parseGoTemplate } from "../../plugins/identity/go-template.ts";
import { createIssuers, known, type Issuers } from "../../plugins/identity/issuers.ts";
import { parseVectors } from "../../plugins/identity/kit/vectors.ts";
import { shippedProviders } from "../../plugins/identity/shipped.ts";

const folder = "test/vectors/fulcio-config";
const publicGood = readFileSync(`${folder}/public-good.yaml`, "utf8");

function carry(text: string, file = "fulcio.yaml") {
  const carried = readFulcioConfig(file, encodeUtf8(text), shippedProviders);
  const providers = [...shippedProviders, ...carried.providers].map(known);
  return { ...carried, accepted: createIssuers(carried.issuers, providers) };
}

let accepted: Issuers;
beforeAll(() => {
  accepted = carry(publicGood).accepted;
});

it("the public instance's file is taken whole", () => {
  expect(
    accepted.configured.map(({ config, provider }) => [config.issuerUrl, provider.type]),
  ).toEqual([
    ["https://accounts.google.com", "email"],
    ["https://agent.buildkite.com", "fulcio-buildkite-job"],
    ["https://gitlab.archlinux.org", "fulcio-gitlab-pipeline"],
    ["https://gitlab.com", "fulcio-gitlab-pipeline"],
    ["https://issuer.enforce.dev", "chainguard-identity"],
    ["https://oauth2.sigstore.dev/auth", "dex"],
    ["https://oidc.circleci.com", "fulcio-circleci-job"],
    ["https://oidc.codefresh.io", "fulcio-codefresh-workflow"],
    ["https://token.actions.githubusercontent.com", "fulcio-github-workflow"],
    ["https://{v1}.oic.prod-aks.azure.com/{v2}", "kubernetes"],
    [
      "https://container.googleapis.com/v1/projects/{v1}/locations/{v2}/clusters/{v3}",
      "kubernetes",
    ],
    ["https://oidc.circleci.com/org/{v1}", "fulcio-circleci-job"],
    ["https://oidc.eks.{v1}.amazonaws.com/id/{v2}", "kubernetes"],
    ["https://token.actions.githubusercontent.com/{v1}", "fulcio-github-workflow"],
  ]);
  expect(accepted.find("https://accounts.google.com")?.jwksOrigin).toBe(
    "https://www.googleapis.com",
  );
});

it.each([
  "github-workflow",
  "gitlab-pipeline",
  "buildkite-job",
  "codefresh-workflow",
  "circleci-job",
])("%s renders the same from Fulcio's templates and from this tree's data", (type) => {
  const file = `test/vectors/providers/${type}.json`;
  const vectors = parseVectors(file, readFileSync(file));
  let compared = 0;
  for (const { claims, issuer, san, extensions } of vectors.accepted) {
    const own = issuer?.["issuerUrl"];
    const url = typeof own === "string" ? own : vectors.issuer.issuerUrl;
    const found = accepted.find(url);
    // Fulcio demands what its templates name, and knows no other hosts of GitHub's.
    const lacks = type === "github-workflow" && !Object.hasOwn(claims, "repository_visibility");
    if (found === null || lacks || !("ci_config_sha" in claims || type !== "gitlab-pipeline"))
      continue;
    const { principal } = found.map({ ...(claims as object), iss: url } as never);
    expect(principal.san).toEqual(san);
    expect(Object.fromEntries(principal.extensions.map((one) => [one.arc, one.value]))).toEqual(
      extensions,
    );
    compared++;
  }
  expect(compared).toBeGreaterThan(0);
});

it("TC-F2 upstream's misses of meta issuers match nothing", () => {
  const good = "https://oidc.eks.us-west-2.amazonaws.com/id/B02C93B6A2D30341AD01E1B6D48164CB";
  expect(accepted.find(good)?.provider.type).toBe("kubernetes");
  for (const bad of [
    `http://localhost?issuer=${good}`,
    `https://evil.example/${good}`,
    `${good}/`,
    `${good}/x`,
    `${good}?x=1`,
    `${good}#x`,
    good.replace("https", "http"),
    good.replace("amazonaws.com", "amazonaws.com.evil.example"),
    good.replace("us-west-2", "us.west.2"),
    good.replace("us-west-2", ""),
    good.replace("us-west-2", "us/west"),
    good.replace("/id/", "//id/"),
    good.replace("/id/", "/id//"),
    good.replace(/[^/]*$/, ""),
    good.replace("oidc.eks", "u@oidc.eks"),
    good.replace("amazonaws.com", "amazonaws.com:443"),
    good.replace("amazonaws.com", "amazonaws.com."),
    good.replace("amazonaws", "AMAZONAWS"),
    good.replace("oidc.eks", "oidc\u3002eks"),
    good.replace("oidc", "oi\u00addc"),
    good.replace("B02C", "B0%32C"),
    `${good}\n`,
    ` ${good}`,
  ]) {
    expect(accepted.find(bad), bad).toBeNull();
  }
});

it("JSON is read too, with its names, and what it says is kept", () => {
  const { issuers, files } = carry(readFileSync(`${folder}/small.json`, "utf8"), "small.json");
  expect(issuers).toMatchObject([
    { issuerUrl: "https://idp.corp.example", provider: "email", trustMail: true },
    { provider: "username", subjectDomain: "corp.example" },
    { provider: "spiffe", trustDomain: "td.corp.example" },
    { issuerUrl: "https://oidc.eks.{v1}.amazonaws.com/id/{v2}", provider: "kubernetes" },
  ]);
  expect([...files.keys()]).toEqual(["small.json#https://idp.corp.example"]);
});

const email = (more: string) =>
  `oidc-issuers:\n  https://a.example:\n    client-id: sigstore\n    type: email\n${more}`;
const ci = (metadata: string) =>
  `oidc-issuers:\n  https://ci.corp.example:\n    client-id: sigstore\n    type: ci-provider\n    ci-provider: x\nci-issuer-metadata:\n  x:\n${metadata}`;
const named = '    subject-alternative-name-template: "https://ci.corp.example/{{ .job }}"\n';

it.each([
  [email("    colour: red\n"), 'fulcio.yaml:5: "colour" cannot be carried over'],
  [email("    challenge-claim: upn\n"), "fulcio.yaml:5: challenge-claim"],
  [email("    issuer-claim: $..x\n"), "fulcio.yaml:5: issuer-claim"],
  [email("").replace("email", "magic"), 'fulcio.yaml:4: type "magic"'],
  [email("").replace("    client-id: sigstore\n", ""), "fulcio.yaml:2: no client-id"],
  [email("    issuer-url: https://b.example\n"), "fulcio.yaml:2: issuer-url"],
  [email("").replace("https://a", "https://u@a"), "fulcio.yaml:2"],
  [`verbosity: 3\n${email("")}`, 'fulcio.yaml:1: "verbosity"'],
  [email("    skip-email-verification: maybe\n"), "fulcio.yaml:5: expected true or false"],
  ["oidc-issuers: [1]\n", "fulcio.yaml:1: expected a map"],
  ["oidc-issuers:\n", "no issuer"],
  ["a: b: c\n", "fulcio.yaml"],
  [
    ci("    extension-templates:\n      build-timbre: x\n"),
    'fulcio.yaml:9: extension "build-timbre"',
  ],
  [ci(""), "fulcio.yaml:7: no subject-alternative-name-template"],
  [
    ci(named).replace("ci-provider: x", "ci-provider: y"),
    'fulcio.yaml:5: there is no ci-issuer-metadata "y"',
  ],
  [
    ci(`    extension-templates:\n      build-trigger: '{{ range .x }}a{{ end }}'\n${named}`),
    "fulcio.yaml:7",
  ],
  [
    ci(`    extension-templates:\n      build-trigger: '{{ printf "%s" .x }}'\n${named}`),
    "fulcio.yaml:7",
  ],
  [
    ci(`    extension-templates:\n      build-trigger: '{{ .x | html }}'\n${named}`),
    "fulcio.yaml:7",
  ],
  [ci('    subject-alternative-name-template: "https://ci.corp.example/fixed"\n'), "fulcio.yaml:7"],
])("%j is refused with the line", (text, message) => {
  expect(() => carry(text)).toThrow(message);
});

it("a constant is not shadowed by a claim of its name, as it would be in Fulcio", () => {
  const issuer = carry(
    ci(
      `    default-template-values:\n      url: https://ci.corp.example/x\n      home: https://git.corp.example\n    extension-templates:\n      source-repository-uri: "{{ .url }}/{{ .repo }}"\n      build-config-uri: "{{ .home }}/c"\n${named}`,
    ),
  ).accepted.find("https://ci.corp.example");
  const map = (claims: object) =>
    issuer?.map({ sub: "s", job: "j", repo: "r", ...claims } as never);
  expect(map({})?.principal.extensions).toEqual([
    { arc: 12, value: "https://ci.corp.example/x/r" },
    { arc: 18, value: "https://git.corp.example/c" },
  ]);
  expect(() => map({ url: "https://evil.example" })).toThrow("not the issuer's");
  expect(() => map({ home: "https://evil.example" })).toThrow("another domain");
  expect(map({ home: "https://eu.corp.example" })?.principal.extensions).toContainEqual({
    arc: 18,
    value: "https://eu.corp.example/c",
  });
});

it("the subset of Go's templates is the one that is documented", () => {
  expect(parseGoTemplate("event_name")).toEqual([{ key: "event_name" }]);
  expect(parseGoTemplate("a{{- .x -}} b")).toEqual([{ text: "a" }, { key: "x" }, { text: "b" }]);
  expect(parseGoTemplate('{{ index . "a/b" }}}')).toEqual([{ key: "a/b" }, { text: "}" }]);
  expect(parseGoTemplate('{{ if eq .a "b" }}c{{ end }}d')).toEqual([
    { key: "a", equals: "b", chosen: "c", otherwise: "" },
    { text: "d" },
  ]);
  for (const bad of [
    "{{}}",
    "{{ .a",
    "{{ if .a }}b{{ end }}",
    '{{ if eq .a "b" }}c',
    '{{ if eq . "" }}a{{ end }}',
    '{{ if eq .a "b" }}{{ .c }}{{ end }}',
    "{{ .a.b }}",
  ]) {
    expect(() => parseGoTemplate(bad), bad).toThrow();
  }
});
