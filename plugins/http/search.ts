/** Search: `GET /api/search`, an API of our own, and Rekor v1's `POST /api/v1/index/retrieve`. */
import { sha256 } from "../../core/crypto/hash.ts";
import { decodeBase64, decodeUtf8, encodeHex } from "../../core/formats/encoding.ts";
import type { JsonValue } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { parsePemBlocks } from "../../core/formats/pem.ts";
import type { AnswerOf, QuestionOf } from "../../events/contract.ts";
import { retrieveIndex, searchEntries, type SearchHit } from "../../events/search.ts";
import { type Members, members, parseMembers } from "./body.ts";
import { rekorFamily, searchFamily } from "./families.ts";
import { type Parameters, parseUint } from "./query.ts";
import { json, type Put, type Route } from "./route.ts";
import { searchFields, searchParameters } from "./search-schema.ts";

const maxRetrieveBytes = 65_536;
const defaultLimit = 20;
const maxLimit = 100n;

/** The routes of search. */
export function searchRoutes(ask: Put): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/api/search",
      family: searchFamily,
      handle: async ({ query }) =>
        json(searchJson(await ask(searchEntries, searchQuestion(query)))),
    },
    {
      method: "POST",
      path: "/api/v1/index/retrieve",
      family: rekorFamily,
      body: { mediaType: "application/json", maxBytes: maxRetrieveBytes },
      handle: async ({ body }) =>
        json((await ask(retrieveIndex, retrieveQuestion(parseMembers(body)))).entryIds),
    },
  ];
}

/** @throws {Malformed} also for a parameter that is not known: a condition that is ignored finds too much. */
function searchQuestion(query: Parameters): QuestionOf<typeof searchEntries> {
  for (const name of query.keys()) {
    if (!searchParameters.includes(name)) throw new Malformed("search: unknown parameter");
  }
  const conditions = searchFields.flatMap((field) => {
    const value = query.get(field);
    return value === undefined ? [] : [{ field, value }];
  });
  const log = query.get("log");
  const cursor = query.get("cursor");
  const sinceMs = timeIn(query, "since");
  const untilMs = timeIn(query, "until");
  return {
    conditions,
    ...(log !== undefined && { log }),
    ...(sinceMs !== undefined && { sinceMs }),
    ...(untilMs !== undefined && { untilMs }),
    order: oneOf(query.get("order"), ["newest", "oldest"]),
    limit: limitIn(query),
    ...(cursor !== undefined && { cursor }),
    proof: oneOf(query.get("proof"), ["false", "true"]) === "true",
    facets: query.get("facets")?.split(",") ?? [],
  };
}

function limitIn(query: Parameters): number {
  const text = query.get("limit");
  if (text === undefined) return defaultLimit;
  const limit = parseUint(text);
  if (limit > maxLimit) throw new Malformed("search: limit");
  return Number(limit);
}

/** A day, or a moment in UTC (RFC 3339). */
function timeIn(query: Parameters, name: string): bigint | undefined {
  const text = query.get(name);
  if (text === undefined) return undefined;
  const isTime = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?Z)?$/.test(text);
  const ms = isTime ? Date.parse(text) : NaN;
  // Date.parse takes the 31st of February for a day in March.
  const isReal = !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text.slice(0, 10));
  if (!isReal || ms < 0) throw new Malformed("search: not a time");
  return BigInt(ms);
}

/** The first is what is meant without the parameter. */
function oneOf<const T extends string>(text: string | undefined, words: readonly [T, ...T[]]): T {
  const word = text === undefined ? words[0] : words.find((one) => one === text);
  if (word === undefined) throw new Malformed("search: a word that has no meaning here");
  return word;
}

function searchJson({ hits, cursor, extents, heads, counted }: AnswerOf<typeof searchEntries>) {
  return {
    hits: hits.map(hitJson),
    ...(cursor !== undefined && { cursor }),
    logs: extents.map(({ log, indexed, size }) => ({
      log,
      indexed: Number(indexed),
      size: Number(size),
    })),
    heads: heads.map(({ log, size, root, checkpoint }) => ({
      log,
      treeSize: Number(size),
      rootHash: encodeHex(root),
      checkpoint,
    })),
    ...(counted && { counted: countedJson(counted) }),
  };
}

function countedJson({
  total,
  exact,
  facets,
}: NonNullable<AnswerOf<typeof searchEntries>["counted"]>) {
  const shown = Object.entries(facets).map(([field, values]) => [
    field,
    values.map(({ value, count }) => ({ value, count: Number(count) })),
  ]);
  return { total: Number(total), exact, facets: Object.fromEntries(shown) as object };
}

function hitJson(hit: SearchHit) {
  const { entryId, inclusionProof: proof } = hit;
  return {
    log: hit.log,
    index: Number(hit.index),
    logIndex: Number(hit.logIndex),
    ...(entryId !== undefined && { entryId }),
    leafHash: encodeHex(hit.leafHash),
    integratedTime: new Date(Number(hit.integratedAtMs)).toISOString(),
    kind: hit.kind,
    digests: hit.digests,
    signers: hit.signers,
    ...(hit.shortened && { shortened: true }),
    ...(proof && { inclusionProof: proof.map(encodeHex) }),
  };
}

/** Members that are not known are left alone, as upstream does; those that are must be right. */
function retrieveQuestion(body: Members): QuestionOf<typeof retrieveIndex> {
  const email = textIn(body, "email", /^[^\s@*]+@[^\s@*]+$/);
  const subject = textIn(body, "subject", /^[^*]+$/);
  const digest = textIn(body, "hash", hashForm);
  const operator = textIn(body, "operator", /^(?:and|or)$/) === "and" ? "and" : "or";
  return {
    ...(email !== undefined && { email }),
    ...(subject !== undefined && { subject }),
    ...(digest !== undefined && { digest }),
    ...verifierIn(body["publicKey"]),
    operator,
  };
}

const hashForm =
  /^(?:(?:sha512:)?[0-9a-fA-F]{128}|(?:sha256:)?[0-9a-fA-F]{64}|(?:sha1:)?[0-9a-fA-F]{40})$/;

function textIn(body: Members, name: string, form: RegExp): string | undefined {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || !form.test(value)) throw new Malformed(`rekor: ${name}`);
  return value;
}

/**
 * The hash of the key that verifies. Nothing is ever fetched from a `url`; and no entry here has a key of another format than X.509.
 *
 * @throws {Malformed}
 */
function verifierIn(
  value: JsonValue | undefined,
): Pick<QuestionOf<typeof retrieveIndex>, "certificate" | "bareKey"> {
  if (value === undefined || value === null) return {};
  const { format, content, url } = members(value);
  if (url !== undefined && url !== null) throw new Malformed("rekor: url");
  if (format !== "x509" || typeof content !== "string") throw new Malformed("rekor: publicKey");
  const [block, ...more] = parsePemBlocks(decodeUtf8(decodeBase64(content)));
  if (block === undefined || more.length > 0) throw new Malformed("rekor: publicKey");
  const fingerprint = encodeHex(sha256(block.der));
  switch (block.label) {
    case "CERTIFICATE":
      return { certificate: fingerprint };
    case "PUBLIC KEY":
      return { bareKey: fingerprint };
    default:
      throw new Malformed("rekor: publicKey");
  }
}
