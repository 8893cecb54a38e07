/** Rekor's v1 API (`rekor:openapi.yaml`): entries, the log and its proofs. */
import { encodeBase64, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import type { JsonValue } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { formatPem } from "../../core/formats/pem.ts";
import type { AnswerOf, QuestionOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { createEntry, describeLog, getEntry, type LogEntry, proveLog } from "../../events/rekor.ts";
import { list, parseMembers } from "./body.ts";
import { rekorFamily as family } from "./families.ts";
import { type Parameters, parseUint } from "./query.ts";
import { type Answered, json, type Put, type Route } from "./route.ts";

const maxEntryBytes = 4_194_304;
const maxRetrieved = 10;
const body = { mediaType: "application/json", maxBytes: maxEntryBytes };

type By = QuestionOf<typeof getEntry>["by"];

/** The routes of Rekor v1. */
export function rekorRoutes(ask: Put): readonly Route[] {
  return [
    {
      method: "POST",
      path: "/api/v1/log/entries",
      family,
      body,
      // The entry's JSON is parsed once, by the room that answers.
      handle: async (asked) => created(await ask(createEntry, { proposed: asked.body })),
    },
    {
      method: "GET",
      path: "/api/v1/log/entries",
      family,
      async handle({ query }) {
        const index = parseUint(query.get("logIndex"));
        return found([await ask(getEntry, { by: { kind: "index", index } })], "object");
      },
    },
    {
      method: "GET",
      path: "/api/v1/log/entries/:id",
      family,
      async handle({ path: { id = "" } }) {
        return found([await ask(getEntry, { by: byId(id) })], "object");
      },
    },
    {
      method: "POST",
      path: "/api/v1/log/entries/retrieve",
      family,
      body,
      handle: async (asked) => await retrieve(ask, asked.body),
    },
    ...logRoutes(ask),
  ];
}

function logRoutes(ask: Put): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/api/v1/log",
      family,
      async handle({ query }) {
        // Every checkpoint here is published before an entry under it is answered: the newest is the stable one.
        requireBoolean(query.get("stable"));
        const { inactive, ...active } = await ask(describeLog, {});
        return json({ inactiveShards: inactive.map(shardInfo), ...shardInfo(active) });
      },
    },
    {
      method: "GET",
      path: "/api/v1/log/publicKey",
      family,
      async handle({ query }) {
        const wanted = treeIdIn(query);
        const { inactive, ...active } = await ask(describeLog, {});
        const shard = [active, ...inactive].find(({ treeId }) => treeId === (wanted ?? treeId));
        if (shard === undefined) throw new Failure("not-found", "no such shard");
        const pem = formatPem("PUBLIC KEY", shard.publicKey);
        return { status: 200, contentType: "application/x-pem-file", body: pem };
      },
    },
    {
      method: "GET",
      path: "/api/v1/log/proof",
      family,
      async handle({ query }) {
        const first = parseUint(query.get("firstSize") ?? "1");
        const last = parseUint(query.get("lastSize"));
        if (first < 1n || first > last)
          throw new Failure("out-of-range", "first size after the last");
        const treeId = treeIdIn(query);
        const { root, hashes } = await ask(proveLog, {
          first,
          last,
          ...(treeId !== undefined && { treeId }),
        });
        return json({ rootHash: encodeHex(root), hashes: hashes.map(encodeHex) });
      },
    },
  ];
}

/** A tree as `rekor:openapi.yaml` has it. */
function shardInfo(shard: Omit<AnswerOf<typeof describeLog>, "inactive">) {
  return {
    rootHash: encodeHex(shard.root),
    signedTreeHead: shard.checkpoint,
    treeID: shard.treeId,
    treeSize: Number(shard.size),
  };
}

/** The shard a request names, if it does. @throws {Malformed} if that cannot be a tree id */
function treeIdIn(query: Parameters): string | undefined {
  const treeId = query.get("treeID");
  if (treeId !== undefined) parseUint(treeId);
  return treeId;
}

function requireBoolean(text: string | undefined): void {
  if (text !== undefined && text !== "true" && text !== "false") {
    throw new Malformed("rekor: neither true nor false");
  }
}

function created({ entry, known }: { entry: LogEntry; known: boolean }): Answered {
  const location = `/api/v1/log/entries/${entry.entryId}`;
  if (known) {
    const message = `an equivalent entry already exists in the transparency log with UUID ${entry.entryId}`;
    return { ...json({ code: 409, message }, 409), headers: { location } };
  }
  const headers = { etag: entry.entryId, location };
  return { status: 201, contentType: "application/json", body: formatEntry(entry), headers };
}

function found(entries: readonly LogEntry[], as: "object" | "array"): Answered {
  const texts = entries.map(formatEntry).join(",");
  const text = as === "object" ? texts : `[${texts}]`;
  return { status: 200, contentType: "application/json", body: text };
}

/**
 * `{"<entryID>": LogEntryAnon}`. Indices are written from bigints, because JSON has no limit where JavaScript's numbers have one;
 * everything else is hex, base64 or digits, but for the checkpoint.
 */
function formatEntry(entry: LogEntry): string {
  const { inclusionProof: proof } = entry;
  const hashes = proof.hashes.map((hash) => `"${encodeHex(hash)}"`).join(",");
  const inclusionProof =
    `{"checkpoint":${JSON.stringify(proof.checkpoint)},"hashes":[${hashes}],"logIndex":${proof.index},` +
    `"rootHash":"${encodeHex(proof.root)}","treeSize":${proof.size}}`;
  const verification = `{"inclusionProof":${inclusionProof},"signedEntryTimestamp":"${encodeBase64(entry.signedEntryTimestamp)}"}`;
  return (
    `{${JSON.stringify(entry.entryId)}:{"body":"${encodeBase64(entry.body)}","integratedTime":${entry.integratedTimeSeconds},` +
    `"logID":"${encodeHex(entry.logId)}","logIndex":${entry.logIndex},"verification":${verification}}}`
  );
}

/** 1 to 10 questions of three kinds; what is not there is left out of the answer. */
async function retrieve(ask: Put, requestBody: Uint8Array): Promise<Answered> {
  const { entryUUIDs, logIndexes, entries: proposals } = parseMembers(requestBody);
  const asked: readonly By[] = [
    ...list(entryUUIDs).map((id) => byId(typeof id === "string" ? id : "")),
    ...list(logIndexes).map(byIndex),
    ...list(proposals).map((proposed) => ({
      kind: "proposed" as const,
      proposed: encodeUtf8(JSON.stringify(proposed)),
    })),
  ];
  if (asked.length < 1 || asked.length > maxRetrieved) return family.word(422, null);
  const entries = await Promise.all(asked.map(async (by) => await entryOrNull(ask, by)));
  return found(
    entries.filter((entry) => entry !== null),
    "array",
  );
}

async function entryOrNull(ask: Put, by: By): Promise<LogEntry | null> {
  try {
    return await ask(getEntry, { by });
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.code === "not-found") return null;
    throw thrown;
  }
}

function byId(id: string): By {
  if (!/^(?:[0-9a-f]{16})?[0-9a-f]{64}$/.test(id)) throw new Malformed("rekor: not an entry id");
  return { kind: "id", id };
}

function byIndex(index: JsonValue): By {
  if (typeof index !== "number" || !Number.isSafeInteger(index) || index < 0) {
    throw new Malformed("rekor: not an index");
  }
  return { kind: "index", index: BigInt(index) };
}
