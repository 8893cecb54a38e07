/**
 * Providers from outside this tree: YAML or JSON against the schema below, or a `.js` module whose default export is the same data
 * and may have `derive`. Each is pinned by the SHA-256 of its file, and what runs is exactly the bytes that were hashed.
 */
import { createHash } from "node:crypto";
import * as v from "valibot";
import { parseDocument } from "yaml";
import { decodeUtf8, encodeBase64, encodeHex } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { KnownProvider } from "./issuers.ts";
import { checkProvider } from "./provider-check.ts";
import type { Provider } from "./provider.ts";

const name = v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/));
const text = v.pipe(v.string(), v.minLength(1), v.maxLength(2_048));
const template = text;
const texts = v.pipe(v.array(text), v.minLength(1), v.maxLength(64));
const yes = v.literal(true);

const claimRule = v.strictObject({
  at: v.exactOptional(texts),
  type: v.picklist(["text", "word", "path", "uri", "email", "flag", "origin"]),
  required: v.exactOptional(yes),
  default: v.exactOptional(template),
  immutable: v.exactOptional(yes),
  personal: v.exactOptional(yes),
  startsWith: v.exactOptional(template),
  equals: v.exactOptional(template),
  within: v.exactOptional(template),
  oneOf: v.exactOptional(texts),
  without: v.exactOptional(texts),
  note: v.exactOptional(text),
});

const tokenSource = v.variant("kind", [
  v.strictObject({ kind: v.literal("environment"), variable: text }),
  v.strictObject({ kind: v.literal("file"), path: text }),
  v.strictObject({
    kind: v.literal("request"),
    method: v.picklist(["GET", "POST"]),
    url: text,
    bearer: text,
    audience: v.strictObject({ in: v.picklist(["query", "json"]), name: text }),
    answer: text,
  }),
  v.strictObject({ kind: v.literal("spiffe"), socket: text }),
]);

/** A provider in a file. What each member means: `provider.ts`. */
export const providerSchema = v.strictObject({
  $schema: v.exactOptional(v.string()),
  type: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,63}$/)),
  version: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000)),
  title: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
  issuers: v.pipe(
    v.array(v.strictObject({ url: template, base: template, jwks: v.exactOptional(text) })),
    v.maxLength(64),
  ),
  claims: v.record(name, claimRule),
  constants: v.exactOptional(v.record(name, v.pipe(v.string(), v.maxLength(2_048)))),
  choices: v.exactOptional(
    v.record(
      name,
      v.strictObject({
        of: template,
        cases: v.record(v.string(), v.string()),
        otherwise: v.exactOptional(v.string()),
      }),
    ),
  ),
  needs: v.exactOptional(v.array(v.picklist(["subjectDomain", "trustDomain", "cluster"]))),
  challenge: v.picklist(["email", "sub", "email-or-sub"]),
  san: v.strictObject({ kind: v.picklist(["email", "uri", "otherName"]), template }),
  uniqueBy: v.pipe(v.array(name), v.minLength(1), v.maxLength(16)),
  issuer: v.exactOptional(template),
  mail: v.exactOptional(v.strictObject({ verifiedBy: text })),
  extensions: v.pipe(
    v.array(
      v.strictObject({
        arc: v.pipe(v.number(), v.integer(), v.minValue(2), v.maxValue(23)),
        template,
      }),
    ),
    v.maxLength(21),
    v.check(
      (all) => all.every(({ arc }, at) => arc !== 7 && arc !== 8 && arc > (all[at - 1]?.arc ?? 1)),
      "arcs ascend, each once, and 7 and 8 are not a provider's to give",
    ),
  ),
  assurance: v.exactOptional(
    v.strictObject({
      acr: v.exactOptional(text),
      amr: v.exactOptional(text),
      authTime: v.exactOptional(text),
    }),
  ),
  facets: v.exactOptional(v.record(name, template)),
  tokenSources: v.exactOptional(v.pipe(v.array(tokenSource), v.maxLength(16))),
});

/** Takes a provider's data. @throws {Malformed} naming the member that is wrong. */
export function parseProvider(file: string, value: unknown): Provider {
  const checked = v.safeParse(providerSchema, value);
  if (checked.success) {
    const { $schema: _schema, ...provider } = checked.output;
    return checkProvider(file, provider);
  }
  const [issue] = checked.issues;
  throw new Malformed(`${file}: ${v.getDotPath(issue) ?? "(root)"}: ${issue.message}`);
}

/** The values of a YAML or JSON file. YAML 1.2 without its traps: no duplicate keys, no anchors, no tags. @throws {Malformed} */
export function parseData(file: string, bytes: Uint8Array): unknown {
  const document = parseDocument(decodeUtf8(bytes), {
    version: "1.2",
    uniqueKeys: true,
    strict: true,
  });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw new Malformed(`${file}: ${problem.message.split("\n")[0] ?? ""}`);
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch (cause) {
    throw new Malformed(`${file}: anchors and aliases are not used here: write it out`, { cause });
  }
}

/** Reads a provider of which the configuration knows the hash. @throws {Malformed} */
export async function readProvider(
  file: string,
  bytes: Uint8Array,
  pinned: string,
): Promise<KnownProvider> {
  const sha256 = new Uint8Array(createHash("sha256").update(bytes).digest());
  if (encodeHex(sha256) !== pinned) {
    throw new Malformed(
      `${file}: has changed: its SHA-256 is ${encodeHex(sha256)}; review it, then write that into the configuration`,
    );
  }
  return { provider: await providerOf(file, bytes), sha256 };
}

/** A provider from the bytes of its file, pinned or not. @throws {Malformed} */
export async function providerOf(file: string, bytes: Uint8Array): Promise<Provider> {
  if (!/\.(?:js|mjs)$/.test(file)) return parseProvider(file, parseData(file, bytes));
  // A module from a data URL is these bytes and no file beside them: it can import nothing by a relative path.
  const loaded = await importModule(file, bytes);
  if (typeof loaded !== "object" || loaded === null) {
    throw new Malformed(`${file}: has no default export`);
  }
  const { derive, ...data } = loaded as { derive?: unknown };
  const provider = parseProvider(file, data);
  if (derive === undefined) return provider;
  if (typeof derive !== "function") throw new Malformed(`${file}: derive: expected a function`);
  // What it gives is held against the contract for every token.
  return { ...provider, derive: derive as NonNullable<Provider["derive"]> };
}

async function importModule(file: string, bytes: Uint8Array): Promise<unknown> {
  try {
    const module = (await import(`data:text/javascript;base64,${encodeBase64(bytes)}`)) as {
      readonly default?: unknown;
    };
    return module.default;
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : "unknown";
    throw new Malformed(`${file}: cannot be loaded: ${why}`, { cause: thrown });
  }
}
