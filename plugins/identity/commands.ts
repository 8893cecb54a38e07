/** What the CLI needs of this room: the provider kit. Files and terminals are the caller's. */
import { createHash } from "node:crypto";
import { toJsonSchema } from "@valibot/to-json-schema";
import * as v from "valibot";
import { systemClock } from "../../core/clock.ts";
import type { OutboundFetch } from "../../core/fetch.ts";
import { encodeHex } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { parseIdToken } from "./id-token.ts";
import { createIssuers, known } from "./issuers.ts";
import { createKeyRings } from "./key-rings.ts";
import { type Explained, explainToken } from "./kit/explain.ts";
import { lintProvider } from "./kit/lint.ts";
import { type Finding, tryProvider } from "./kit/run-vectors.ts";
import { type Scaffold, scaffold } from "./kit/scaffold.ts";
import { formatProviders } from "./kit/table.ts";
import { parseVectors } from "./kit/vectors.ts";
import { loadIdentity } from "./loading.ts";
import { identity } from "./manifest.ts";
import { parseData, providerOf, providerSchema } from "./provider-file.ts";
import type { TokenSource } from "./provider.ts";
import { shippedProviders } from "./shipped.ts";
import { createVerifier } from "./verifier.ts";

export type { Explained } from "./kit/explain.ts";
export type { Scaffold } from "./kit/scaffold.ts";

/** A file with its name, which tells its kind. */
export interface NamedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What was found out about a provider. */
export interface ProviderReport {
  readonly type: string;
  /** SHA-256 of its file, as the configuration pins it. */
  readonly sha256: string;
  readonly findings: readonly {
    readonly severity: "ok" | "advice" | "error";
    readonly text: string;
  }[];
}

/** The providers of this tree. */
export function listProviders(): readonly {
  readonly type: string;
  readonly title: string;
  readonly version: number;
  readonly issuers: readonly string[];
  /** Where a client finds a token. */
  readonly tokenSources: readonly TokenSource[];
}[] {
  return shippedProviders.map(({ type, title, version, issuers, tokenSources = [] }) => ({
    type,
    title,
    version,
    issuers: issuers.map(({ url }) => url),
    tokenSources,
  }));
}

/** A provider to begin with, by the shape of a token if there is one. @throws {Malformed} */
export function newProvider(type: string, token: string | null): Scaffold {
  return scaffold(type, token === null ? null : parseIdToken(token).claims);
}

/** Looks at a provider without running it. @throws {Malformed} if a file cannot be read as what it is. */
export async function lintFile(
  file: NamedFile,
  vectors: NamedFile | null,
): Promise<ProviderReport> {
  const provider = await loadFile(file);
  const parsed = vectors && parseVectors(vectors.name, vectors.bytes);
  return report(provider, lintProvider(provider, parsed));
}

/**
 * True for what lies in a folder of providers as one of them: it has members that only providers have, or it cannot be read and so
 * may be one. A module is looked at and not run. Does not throw.
 */
export function looksLikeProvider({ name, bytes }: NamedFile): boolean {
  const telling = ["claims", "challenge", "san", "uniqueBy"];
  if (/\.m?js$/.test(name)) {
    const text = new TextDecoder().decode(bytes);
    return telling.every((member) => text.includes(member));
  }
  try {
    const value = parseData(name, bytes);
    return typeof value === "object" && value !== null && telling.some((one) => one in value);
  } catch {
    return true;
  }
}

/** What is said of a file that could not be examined. */
export function notExamined({ name, bytes }: NamedFile, why: string): ProviderReport {
  const type = name.replace(/\.[a-z]+$/, "");
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { type, sha256, findings: [{ severity: "error", text: why }] };
}

/** Runs its vectors and everything that is tried against every provider. @throws {Malformed} */
export async function testFile(file: NamedFile, vectors: NamedFile): Promise<ProviderReport> {
  const provider = await loadFile(file);
  const parsed = parseVectors(vectors.name, vectors.bytes);
  const remarks = lintProvider(provider, parsed);
  const found = await tryProvider(provider, parsed);
  return report(provider, [...remarks, ...found.map(asRemark)]);
}

/** The documentation of all providers of this tree, as Markdown. */
export function providerTable(): string {
  return `${formatProviders(shippedProviders.map(known)).trimEnd()}\n`;
}

/**
 * The members of a token that each provider reads, by its type: those of this tree, or with a home's configuration those that are
 * installed there. @throws {Malformed} on a bad configuration.
 */
export async function claimVocabulary(
  installed: { readonly section: unknown; readonly home: string } | null,
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const providers =
    installed === null
      ? shippedProviders
      : (await load(installed)).providers.map(({ provider }) => provider);
  return new Map(
    providers.map(({ type, claims, assurance = {}, mail }) => [
      type,
      new Set([
        ...Object.entries(claims).map(([name, { at }]) => at?.[0] ?? name),
        ...Object.values(assurance),
        ...(mail === undefined ? [] : [mail.verifiedBy]),
      ]),
    ]),
  );
}

/** The contract for files as a JSON schema. */
export function providerJsonSchema(): string {
  // What a schema cannot say (ascending arcs) is said when a file is read.
  const schema = toJsonSchema(providerSchema, { errorMode: "ignore" });
  return `${JSON.stringify({ title: "A provider of Chancery", ...schema }, null, 2)}\n`;
}

async function loadFile({ name, bytes }: NamedFile) {
  const sha256 = new Uint8Array(createHash("sha256").update(bytes).digest());
  return { provider: await providerOf(name, bytes), sha256 };
}

function report(
  { provider, sha256 }: Awaited<ReturnType<typeof loadFile>>,
  findings: ProviderReport["findings"],
): ProviderReport {
  return { type: provider.type, sha256: encodeHex(sha256), findings };
}

function asRemark({ name, fault }: Finding): ProviderReport["findings"][number] {
  return fault === null
    ? { severity: "ok", text: name }
    : { severity: "error", text: `${name}: ${fault}` };
}

/** What {@link explain} works with: the room's section of a home's configuration, and the home. */
export interface ExplainerHome {
  readonly section: unknown;
  readonly home: string;
  readonly fetch: OutboundFetch;
}

/** Verifies a token as the home's server would, without using it up, and tells how far it came. @throws {Malformed} on a bad configuration. */
export async function explain(
  token: string,
  { section, home, fetch }: ExplainerHome,
): Promise<Explained> {
  const { configs, providers, files, skewSeconds } = await load({ section, home });
  // What a token was used for stays out of this: looking at it must not use it.
  const issuers = createIssuers(
    configs.map((one) => ({ ...one, oneTime: false })),
    providers,
  );
  const journal = { info() {}, warn() {}, error() {} };
  const detached = <T>(work: () => T): T => work();
  const surroundings = { clock: systemClock, fetch, journal, jitter: () => 0, detached };
  const verify = createVerifier({
    issuers,
    keysOf: createKeyRings(surroundings, files).of,
    clock: systemClock,
    skewSeconds,
    useOnce: null,
  });
  return await explainToken(token, verify, issuers);
}

async function load({ section, home }: { readonly section: unknown; readonly home: string }) {
  const checked = v.safeParse(identity.manifest.config, section);
  if (!checked.success) throw new Malformed(`identity: ${checked.issues[0].message}`);
  const { skewSeconds } = checked.output;
  return { ...(await loadIdentity(checked.output, () => home)), skewSeconds };
}
