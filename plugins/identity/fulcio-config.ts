/**
 * Fulcio's own configuration file, read as it is: `oidc-issuers`, `meta-issuers` and `ci-issuer-metadata` in YAML, with its anchors,
 * or `OIDCIssuers`, `MetaIssuers` and `CIIssuerMetadata` in JSON. What cannot be carried over is refused with its line, because an
 * issuer that is left out in silence, or means something else, is found out too late.
 */
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { type CiMetadata, extensionArcs, providerFrom } from "./fulcio-provider.ts";
import { isPlainIssuer } from "./issuer-pattern.ts";
import { type Located, locate } from "./located-yaml.ts";
import type { IssuerConfig } from "./manifest.ts";
import { defaultIssuer } from "./manifest.ts";
import type { Provider } from "./provider.ts";
import { checkProvider } from "./provider-check.ts";
import dex from "./providers/dex.ts";
import googleProvider from "./providers/google.ts";

/** What was carried over. */
interface Carried {
  readonly issuers: readonly IssuerConfig[];
  readonly providers: readonly Provider[];
  /** Certificates that stood in the file, under the names that issuers give in `authorityFile`. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly warnings: readonly string[];
}

interface Draft {
  readonly issuers: IssuerConfig[];
  readonly providers: Map<string, Provider>;
  readonly files: Map<string, Uint8Array>;
  readonly warnings: string[];
  readonly metadata: ReadonlyMap<string, { readonly ci: CiMetadata; readonly at: Located }>;
  readonly types: readonly string[];
}

/** `known` are the providers there are. @throws {Malformed} with file, line and reason. */
export function readFulcioConfig(
  file: string,
  bytes: Uint8Array,
  known: readonly Provider[],
): Carried {
  const top = locate(file, bytes).members({
    "oidc-issuers": "OIDCIssuers",
    "meta-issuers": "MetaIssuers",
    "ci-issuer-metadata": "CIIssuerMetadata",
    // Where the public instance's file keeps its anchors.
    define: "define",
  });
  const draft: Draft = {
    issuers: [],
    providers: new Map(),
    files: new Map(),
    warnings: [],
    metadata: readMetadata(top.get("ci-issuer-metadata")),
    types: known.map(({ type }) => type),
  };
  for (const [url, at] of top.get("oidc-issuers")?.entries() ?? [])
    readIssuer(url, at, false, draft);
  for (const [url, at] of top.get("meta-issuers")?.entries() ?? [])
    readIssuer(url, at, true, draft);
  if (draft.issuers.length === 0) throw new Malformed(`${file}: no issuer`);
  return { ...draft, providers: [...draft.providers.values()] };
}

/** The one public issuer of addresses whose keys lie elsewhere; Fulcio follows `jwks_uri` anywhere. */
const [google] = googleProvider.issuers;

const issuerMembers = {
  "issuer-url": "IssuerURL",
  "client-id": "ClientID",
  type: "Type",
  "ci-provider": "CIProvider",
  "issuer-claim": "IssuerClaim",
  "subject-domain": "SubjectDomain",
  "spiffe-trust-domain": "SPIFFETrustDomain",
  "challenge-claim": "ChallengeClaim",
  "skip-email-verification": "SkipEmailVerification",
  "ca-cert": "CACert",
  description: "Description",
  contact: "Contact",
  environment: "Environment",
} as const;

function readIssuer(key: string, at: Located, isMeta: boolean, draft: Draft): void {
  const said = at.members(issuerMembers);
  const text = (name: keyof typeof issuerMembers) => said.get(name)?.text();
  const url = text("issuer-url") ?? key;
  if (url !== key) throw at.wrong(`issuer-url "${url}" is not the key it stands under`);
  const issuerUrl = isMeta ? patternOf(url, at) : url;
  if (!isMeta && !isPlainIssuer(url)) throw at.wrong(`"${url}" is not a plain URL`);
  const audience = text("client-id");
  if (audience === undefined || audience === "") throw at.wrong("no client-id");
  const challenge = said.get("challenge-claim");
  const kind = challenge?.text();
  if (kind !== undefined && kind !== "email" && kind !== "sub") {
    throw (challenge ?? at).wrong(`challenge-claim "${kind}": only email and sub can be signed`);
  }
  const type = text("type");
  const subjectDomain = text("subject-domain");
  const trustDomain = text("spiffe-trust-domain");
  const authority = text("ca-cert");
  const skip = said.get("skip-email-verification")?.flag() ?? false;
  if (said.get("environment") !== undefined) {
    draft.warnings.push(
      `${at.where}: ${url} is marked "${text("environment")}" and accepted all the same`,
    );
  }
  if (authority !== undefined) draft.files.set(`${at.file}#${url}`, encodeUtf8(authority));
  draft.issuers.push({
    ...defaultIssuer,
    issuerUrl,
    audience,
    provider: providerOf(type, said, at, draft),
    ...(kind !== undefined && { challenge: kind }),
    ...(skip && type === "email" && { trustMail: true }),
    ...(subjectDomain !== undefined &&
      (type === "uri" || type === "username") && { subjectDomain }),
    ...(trustDomain !== undefined && type === "spiffe" && { trustDomain }),
    ...(url === google?.url && google.jwks !== undefined && { jwksOrigin: google.jwks }),
    ...(authority !== undefined && { authorityFile: `${at.file}#${url}` }),
  });
}

/** A meta issuer's `*` is letters, digits, `-` and `_`, as a variable is. */
function patternOf(url: string, at: Located): string {
  let count = 0;
  if (url.includes("{")) throw at.wrong(`"${url}": a brace`);
  return url.replaceAll("*", () => `{v${++count}}`);
}

function providerOf(
  type: string | undefined,
  said: ReadonlyMap<string, Located>,
  at: Located,
  draft: Draft,
): string {
  const claim = said.get("issuer-claim");
  if (claim !== undefined && type !== "email")
    throw claim.wrong("issuer-claim: only with type email");
  if (type === "ci-provider") return ciProviderOf(said.get("ci-provider"), at, draft);
  if (type === undefined || !draft.types.includes(type)) {
    throw (said.get("type") ?? at).wrong(`type "${type ?? ""}" is not known here`);
  }
  if (claim === undefined) return type;
  const path = /^\$((?:\.[A-Za-z_][A-Za-z0-9_]*)+)$/.exec(claim.text())?.[1];
  if (path === undefined) throw claim.wrong("issuer-claim: only $.name and $.name.name");
  const place = path.slice(1).split(".");
  if (place.join(".") === "federated_claims.connector_id") return dex.type;
  const own = `fulcio-email-${place.join("-").toLowerCase().replaceAll("_", "-")}`;
  const claims = { ...dex.claims, connector_id: { ...dex.claims.connector_id, at: place } };
  draft.providers.set(own, { ...dex, type: own, claims });
  return own;
}

function ciProviderOf(named: Located | undefined, at: Located, draft: Draft): string {
  const name = named?.text() ?? "";
  const found = draft.metadata.get(name);
  if (found === undefined) throw (named ?? at).wrong(`there is no ci-issuer-metadata "${name}"`);
  const made =
    draft.providers.get(name) ??
    found.at.attempt(() => checkProvider(name, providerFrom(found.ci)));
  draft.providers.set(name, made);
  return made.type;
}

function readMetadata(all: Located | undefined): Draft["metadata"] {
  const metadata = new Map<string, { ci: CiMetadata; at: Located }>();
  for (const [name, at] of all?.entries() ?? []) {
    const said = at.members({
      "default-template-values": "DefaultTemplateValues",
      "extension-templates": "ExtensionTemplates",
      "subject-alternative-name-template": "SubjectAlternativeNameTemplate",
    });
    const defaults = new Map<string, string>();
    for (const [key, value] of said.get("default-template-values")?.entries() ?? []) {
      defaults.set(key, value.text());
    }
    const extensions: { arc: number; template: string }[] = [];
    for (const [key, value] of said.get("extension-templates")?.entries() ?? []) {
      const arc = extensionArcs.get(key);
      // The issuer is always the token's, in Fulcio too.
      if (key === "issuer" || key === "Issuer" || key === "subject" || key === "Subject") continue;
      if (arc === undefined) throw value.wrong(`extension "${key}" is not known`);
      if (value.text() !== "") extensions.push({ arc, template: value.text() });
    }
    const san = said.get("subject-alternative-name-template")?.text() ?? "";
    if (san === "") throw at.wrong("no subject-alternative-name-template");
    const ordered = extensions.toSorted((a, b) => a.arc - b.arc);
    metadata.set(name, { ci: { name, defaults, extensions: ordered, san }, at });
  }
  return metadata;
}
