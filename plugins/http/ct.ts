/** The HTTP form of RFC 6962 logs (§4), each below `/logs/<name>`. */
import { decodeBase64, encodeBase64 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  addChain,
  addPreChain,
  getEntries,
  getEntryAndProof,
  getProofByHash,
  getRoots,
  getSth,
  getSthConsistency,
} from "../../events/ct.ts";
import { list, parseMembers } from "./body.ts";
import { textFamily as family } from "./families.ts";
import { logIn } from "./log-name.ts";
import { parseUint } from "./query.ts";
import { json, type Put, type Route } from "./route.ts";

/** A chain of ten certificates of ordinary size has a tenth of it; a log stores 256 KiB beside an entry. */
const maxBodyBytes = 524_288;
const maxChainLength = 10;
/** A page may be shorter than asked for (§4.6), so a reader who asks for everything still gets an answer. */
const maxPage = 1_000n;

const base = "/logs/:log/ct/v1";

/** The routes of every log. */
export function ctRoutes(ask: Put): readonly Route[] {
  return [
    submission(ask, `${base}/add-chain`, addChain),
    submission(ask, `${base}/add-pre-chain`, addPreChain),
    ...treeRoutes(ask),
    ...entryRoutes(ask),
  ];
}

function treeRoutes(ask: Put): readonly Route[] {
  return [
    {
      method: "GET",
      path: `${base}/get-sth`,
      family,
      async handle({ path }) {
        const { size, timestampMs, root, signature } = await ask(getSth, { log: logIn(path) });
        return json({
          tree_size: Number(size),
          timestamp: Number(timestampMs),
          sha256_root_hash: encodeBase64(root),
          tree_head_signature: encodeBase64(signature),
        });
      },
    },
    {
      method: "GET",
      path: `${base}/get-sth-consistency`,
      family,
      async handle({ path, query }) {
        const log = logIn(path);
        const first = parseUint(query.get("first"));
        const second = parseUint(query.get("second"));
        const { consistency } = await ask(getSthConsistency, { log, first, second });
        return json({ consistency: consistency.map(encodeBase64) });
      },
    },
    {
      method: "GET",
      path: `${base}/get-proof-by-hash`,
      family,
      async handle({ path, query }) {
        const log = logIn(path);
        const hash = decodeBase64(query.get("hash") ?? "");
        if (hash.length !== 32) throw new Malformed("ct: not a leaf hash");
        const treeSize = parseUint(query.get("tree_size"));
        const { leafIndex, auditPath } = await ask(getProofByHash, { log, hash, treeSize });
        return json({ leaf_index: Number(leafIndex), audit_path: auditPath.map(encodeBase64) });
      },
    },
  ];
}

function entryRoutes(ask: Put): readonly Route[] {
  return [
    {
      method: "GET",
      path: `${base}/get-entries`,
      family,
      async handle({ path, query }) {
        const log = logIn(path);
        const start = parseUint(query.get("start"));
        const last = parseUint(query.get("end"));
        if (last < start) throw new Malformed("ct: end before start");
        const end = last - start < maxPage ? last : start + maxPage - 1n;
        const { entries } = await ask(getEntries, { log, start, end });
        return json({
          entries: entries.map(({ leafInput, extraData }) => ({
            leaf_input: encodeBase64(leafInput),
            extra_data: encodeBase64(extraData),
          })),
        });
      },
    },
    {
      method: "GET",
      path: `${base}/get-entry-and-proof`,
      family,
      async handle({ path, query }) {
        const log = logIn(path);
        const leafIndex = parseUint(query.get("leaf_index"));
        const treeSize = parseUint(query.get("tree_size"));
        const found = await ask(getEntryAndProof, { log, leafIndex, treeSize });
        return json({
          leaf_input: encodeBase64(found.leafInput),
          extra_data: encodeBase64(found.extraData),
          audit_path: found.auditPath.map(encodeBase64),
        });
      },
    },
    {
      method: "GET",
      path: `${base}/get-roots`,
      family,
      async handle({ path }) {
        const { certificates } = await ask(getRoots, { log: logIn(path) });
        return json({ certificates: certificates.map(encodeBase64) });
      },
    },
  ];
}

function submission(ask: Put, path: string, add: typeof addChain | typeof addPreChain): Route {
  return {
    method: "POST",
    path,
    family,
    body: { mediaType: "application/json", maxBytes: maxBodyBytes },
    async handle({ path: { log }, body }) {
      const sct = await ask(add, { log: logIn({ log }), chain: parseChain(body) });
      return json({
        sct_version: 0,
        id: encodeBase64(sct.logId),
        timestamp: Number(sct.timestampMs),
        extensions: encodeBase64(sct.extensions),
        signature: encodeBase64(sct.signature),
      });
    },
  };
}

/** `{"chain":["<base64 DER>",…]}`, leaf first. */
function parseChain(body: Uint8Array): Uint8Array[] {
  const chain = list(parseMembers(body)["chain"]);
  if (chain.length === 0 || chain.length > maxChainLength) throw new Malformed("ct: no chain");
  return chain.map((certificate) => {
    if (typeof certificate !== "string") throw new Malformed("ct: certificate is not text");
    return decodeBase64(certificate);
  });
}
