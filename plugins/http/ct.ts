/** The HTTP form of an RFC 6962 log (§4), below `/logs/<name>`. */
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
import { parseUint } from "./query.ts";
import { json, type Put, type Route } from "./route.ts";

const maxBodyBytes = 1_048_576;
const maxChainLength = 10;
/** A page may be shorter than asked for (§4.6), so a reader who asks for everything still gets an answer. */
const maxPage = 1_000n;

/** The routes of the log called `name`. */
export function ctRoutes(ask: Put, name: string): readonly Route[] {
  const base = `/logs/${name}/ct/v1`;
  return [
    submission(ask, `${base}/add-chain`, addChain),
    submission(ask, `${base}/add-pre-chain`, addPreChain),
    ...treeRoutes(ask, base),
    ...entryRoutes(ask, base),
  ];
}

function treeRoutes(ask: Put, base: string): readonly Route[] {
  return [
    {
      method: "GET",
      path: `${base}/get-sth`,
      family,
      async handle() {
        const { size, timestampMs, root, signature } = await ask(getSth, {});
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
      async handle({ query }) {
        const first = parseUint(query.get("first"));
        const second = parseUint(query.get("second"));
        const { consistency } = await ask(getSthConsistency, { first, second });
        return json({ consistency: consistency.map(encodeBase64) });
      },
    },
    {
      method: "GET",
      path: `${base}/get-proof-by-hash`,
      family,
      async handle({ query }) {
        const hash = decodeBase64(query.get("hash") ?? "");
        if (hash.length !== 32) throw new Malformed("ct: not a leaf hash");
        const treeSize = parseUint(query.get("tree_size"));
        const { leafIndex, auditPath } = await ask(getProofByHash, { hash, treeSize });
        return json({ leaf_index: Number(leafIndex), audit_path: auditPath.map(encodeBase64) });
      },
    },
  ];
}

function entryRoutes(ask: Put, base: string): readonly Route[] {
  return [
    {
      method: "GET",
      path: `${base}/get-entries`,
      family,
      async handle({ query }) {
        const start = parseUint(query.get("start"));
        const last = parseUint(query.get("end"));
        if (last < start) throw new Malformed("ct: end before start");
        const end = last - start < maxPage ? last : start + maxPage - 1n;
        const { entries } = await ask(getEntries, { start, end });
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
      async handle({ query }) {
        const leafIndex = parseUint(query.get("leaf_index"));
        const treeSize = parseUint(query.get("tree_size"));
        const found = await ask(getEntryAndProof, { leafIndex, treeSize });
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
      async handle() {
        const { certificates } = await ask(getRoots, {});
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
    async handle({ body }) {
      const sct = await ask(add, { chain: parseChain(body) });
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
