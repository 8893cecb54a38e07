/** `chancery log show`. */
import { decodeBase64, encodeBase64, encodeHex } from "../../core/formats/encoding.ts";
import { type JsonValue, parseJsonBytes } from "../../core/formats/json.ts";
import { leafHash, verifyInclusion } from "../../core/formats/merkle.ts";
import { readInt64, readList, readMembers, readText } from "../../core/formats/protojson.ts";
import { optionalIndex, parseArguments } from "./arguments.ts";
import { type SignedCheckpoint, fetchCheckpoint } from "./checkpoint.ts";
import { readInstance, readTrustedRoot } from "./home.ts";
import { fetchEntry } from "./rekor.ts";
import { jsonOf, request } from "./remote.ts";
import { type ExitCode, type Terminal, exitCodes, usageError } from "./terminal.ts";
import { verifyInclusionProof, verifySignedEntryTimestamp } from "./verify/inclusion.ts";
import { NotVerified } from "./verify/not-verified.ts";

/** Prints a checkpoint or an entry, and only what verifies against the home's trusted root. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: [],
    values: ["log", "index"],
    switches: ["json"],
  });
  const name = parsed.value("log") ?? "rekor";
  const index = optionalIndex(parsed, "index");
  const { origin } = await readInstance(terminal);
  const trustedRoot = await readTrustedRoot(terminal, undefined);
  const signed = await fetchCheckpoint(origin, name, trustedRoot);
  if (index === undefined) {
    terminal.print(parsed.has("json") ? describeCheckpoint(name, signed) : signed.note.trimEnd());
    return exitCodes.ok;
  }
  if (index >= signed.checkpoint.size) {
    throw usageError(`the log ${name} has ${signed.checkpoint.size} entries; there is no ${index}`);
  }
  const isCt = trustedRoot.ctlogs.includes(signed.trusted);
  const entry = isCt
    ? await readCtEntry(`${origin}/logs/${name}/ct/v1`, index, signed)
    : await readRekorEntry(origin, index, signed);
  terminal.print(JSON.stringify({ log: name, ...entry }, null, parsed.has("json") ? 0 : 2));
  return exitCodes.ok;
}

type Shown = { readonly [name: string]: JsonValue };

function describeCheckpoint(name: string, { checkpoint, trusted, note }: SignedCheckpoint): string {
  return JSON.stringify({
    log: name,
    origin: checkpoint.origin,
    size: String(checkpoint.size),
    root: encodeBase64(checkpoint.root),
    logId: encodeHex(trusted.logId),
    checkpoint: note,
  });
}

async function readRekorEntry(
  origin: string,
  index: bigint,
  { trusted, checkpoint }: SignedCheckpoint,
): Promise<Shown> {
  const first = await firstIndexOf(origin, checkpoint.origin);
  const entry = await fetchEntry(origin, first + index);
  if (entry.index !== first + index || entry.inclusionProof === null) {
    throw new NotVerified(
      "log-entry",
      "the log answered with another entry than the one asked for",
    );
  }
  verifyInclusionProof(entry, entry.inclusionProof, trusted);
  const loggedAt = verifySignedEntryTimestamp(entry, trusted);
  return {
    index: String(index),
    leafHash: encodeHex(leafHash(entry.canonicalizedBody)),
    loggedAt: loggedAt === null ? null : loggedAt.toISOString(),
    body: parseJsonBytes(entry.canonicalizedBody),
  };
}

/** Rekor v1 asks for indices over all its trees: how many entries the trees before this one have. */
async function firstIndexOf(origin: string, checkpointOrigin: string): Promise<bigint> {
  const treeId = / - (\d+)$/.exec(checkpointOrigin)?.[1];
  if (treeId === undefined) return 0n;
  const what = "the description of Rekor";
  const answer = await request({ method: "GET", url: `${origin}/api/v1/log`, what, accept: [200] });
  const names = ["inactiveShards", "rootHash", "signedTreeHead", "treeID", "treeSize"];
  const active = readMembers(jsonOf(answer, what), what, names);
  let first = 0n;
  for (const shard of readList(active["inactiveShards"], what, 256)) {
    const { treeID, treeSize } = readMembers(shard, what, names.slice(1));
    if (treeID === treeId) return first;
    first += readInt64(treeSize, what);
  }
  return first;
}

/** RFC 6962 §4.6 and §4.5: the entry, then the proof that the checkpoint's tree holds it. */
async function readCtEntry(
  base: string,
  index: bigint,
  { checkpoint: { size, root } }: SignedCheckpoint,
): Promise<Shown> {
  const what = `entry ${index}`;
  const url = `${base}/get-entries?start=${index}&end=${index}`;
  const answer = await request({ method: "GET", url, what, accept: [200] });
  const { entries } = readMembers(jsonOf(answer, what), what, ["entries"]);
  const item = readMembers(readList(entries, what, 1)[0], what, ["leaf_input", "extra_data"]);
  const leaf = decodeBase64(readText(item.leaf_input, what));
  const proof = await readCtProof(base, leafHash(leaf), size);
  const isIncluded = verifyInclusion({ index, size, leafHash: leafHash(leaf), proof, root });
  if (!isIncluded) throw new NotVerified("log-entry", `${what} is not in the checkpoint's tree`);
  const { parseMerkleTreeLeaf } = await import("../../core/formats/sct.ts");
  const { timestampMs, kind } = parseMerkleTreeLeaf(leaf);
  return {
    index: String(index),
    leafHash: encodeHex(leafHash(leaf)),
    loggedAt: new Date(Number(timestampMs)).toISOString(),
    kind,
    leaf: encodeBase64(leaf),
  };
}

async function readCtProof(base: string, leaf: Uint8Array, size: bigint): Promise<Uint8Array[]> {
  const what = "the inclusion proof";
  const query = new URLSearchParams({ hash: encodeBase64(leaf), tree_size: String(size) });
  const url = `${base}/get-proof-by-hash?${query.toString()}`;
  const answer = await request({ method: "GET", url, what, accept: [200] });
  const json = readMembers(jsonOf(answer, what), what, ["leaf_index", "audit_path"]);
  readInt64(json.leaf_index, what);
  return readList(json.audit_path, what, 64).map((hash) => decodeBase64(readText(hash, what)));
}
