/** What each route is, for the OpenAPI document: in the words of the API it belongs to, with the very schemas it is read by. */
import * as v from "valibot";
import {
  certificateRequest,
  configurationResponse,
  gatewayError,
  legacyCertificateRequest,
  signingCertificate,
  trustBundleResponse,
} from "./fulcio-schema.ts";

import { searchParameters, searchResponse } from "./search-schema.ts";

/** A route for readers. */
export interface Description {
  readonly summary: string;
  /** Names of query parameters. */
  readonly query?: readonly string[];
  readonly request?: v.GenericSchema;
  readonly response: {
    readonly status: number;
    readonly mediaType: string;
    readonly schema?: v.GenericSchema;
  };
  /** The API's own form of errors; without it they are a line of text. */
  readonly error?: v.GenericSchema;
}

/** The description of a route, if there is one. Names of logs in its path do not matter. */
export function describeRoute(method: string, path: string): Description | undefined {
  return descriptions[`${method} ${path.replace(/^\/logs\/[^/:]+\//, "/logs/:log/")}`];
}

const json = "application/json";
const pem = "application/pem-certificate-chain";
const text = "text/plain; charset=utf-8";
const bytes = "application/octet-stream";
const rekorError = v.strictObject({ code: v.number(), message: v.string() });
const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const inclusionProof = v.looseObject({
  logIndex: v.number(),
  treeSize: v.number(),
  rootHash: hash,
  hashes: v.array(hash),
  checkpoint: v.string(),
});
const logEntries = v.record(
  v.string(),
  v.looseObject({
    body: v.string(),
    integratedTime: v.number(),
    logID: hash,
    logIndex: v.number(),
    verification: v.looseObject({ inclusionProof, signedEntryTimestamp: v.string() }),
  }),
);
const sct = v.strictObject({
  sct_version: v.literal(0),
  id: v.string(),
  timestamp: v.number(),
  extensions: v.string(),
  signature: v.string(),
});
const chainRequest = v.looseObject({ chain: v.pipe(v.array(v.string()), v.minLength(1)) });
const strings = v.array(v.string());

const ok = (mediaType: string, schema?: v.GenericSchema, status = 200) => ({
  response: { status, mediaType, ...(schema && { schema }) },
});
const fulcio = { error: gatewayError };
const rekor = { error: rekorError };

const descriptions: { readonly [route: string]: Description } = {
  "GET /healthz": {
    summary: "Is the door there",
    ...ok(json, v.strictObject({ status: v.literal("SERVING") })),
  },
  "GET /ping": { summary: "Is somebody there", ...ok(text) },
  "GET /readyz": {
    summary: "Is every room well",
    ...ok(json, v.looseObject({ status: v.string() })),
  },
  "GET /": { summary: "A page for people", ...ok("text/html; charset=utf-8") },
  "GET /api/openapi.json": {
    summary: "This document",
    ...ok(json, v.looseObject({ openapi: v.string(), paths: v.looseObject({}) })),
  },
  "POST /api/v2/signingCert": {
    summary: "Fulcio v2: a certificate for a key, by an ID token in the body or the bearer header",
    request: certificateRequest,
    ...ok(json, signingCertificate),
    ...fulcio,
  },
  "GET /api/v2/trustBundle": {
    summary: "Fulcio v2: the chains that certificates end with",
    ...ok(json, trustBundleResponse),
    ...fulcio,
  },
  "GET /api/v2/configuration": {
    summary: "Fulcio v2: the accepted OIDC issuers",
    ...ok(json, configurationResponse),
    ...fulcio,
  },
  "POST /api/v1/signingCert": {
    summary: "Fulcio v1: a certificate chain in PEM, by an ID token in the bearer header",
    request: legacyCertificateRequest,
    ...ok(pem, undefined, 201),
    ...fulcio,
  },
  "GET /api/v1/rootCert": { summary: "Fulcio v1: the chains in PEM", ...ok(pem), ...fulcio },
  "POST /logs/:log/ct/v1/add-chain": {
    summary: "RFC 6962, section 4.1",
    request: chainRequest,
    ...ok(json, sct),
  },
  "POST /logs/:log/ct/v1/add-pre-chain": {
    summary: "RFC 6962, section 4.2",
    request: chainRequest,
    ...ok(json, sct),
  },
  "GET /logs/:log/ct/v1/get-sth": {
    summary: "RFC 6962, section 4.3",
    ...ok(json, v.looseObject({ tree_size: v.number(), timestamp: v.number() })),
  },
  "GET /logs/:log/ct/v1/get-sth-consistency": {
    summary: "RFC 6962, section 4.4",
    query: ["first", "second"],
    ...ok(json, v.strictObject({ consistency: strings })),
  },
  "GET /logs/:log/ct/v1/get-proof-by-hash": {
    summary: "RFC 6962, section 4.5",
    query: ["hash", "tree_size"],
    ...ok(json, v.strictObject({ leaf_index: v.number(), audit_path: strings })),
  },
  "GET /logs/:log/ct/v1/get-entries": {
    summary: "RFC 6962, section 4.6",
    query: ["start", "end"],
    ...ok(
      json,
      v.strictObject({
        entries: v.array(v.strictObject({ leaf_input: v.string(), extra_data: v.string() })),
      }),
    ),
  },
  "GET /logs/:log/ct/v1/get-entry-and-proof": {
    summary: "RFC 6962, section 4.8",
    query: ["leaf_index", "tree_size"],
    ...ok(json, v.looseObject({ leaf_input: v.string(), audit_path: strings })),
  },
  "GET /logs/:log/ct/v1/get-roots": {
    summary: "RFC 6962, section 4.7",
    ...ok(json, v.strictObject({ certificates: strings })),
  },
  "POST /api/v1/log/entries": {
    summary: "Rekor v1: logs an entry",
    request: v.looseObject({ apiVersion: v.string(), kind: v.string(), spec: v.looseObject({}) }),
    ...ok(json, logEntries, 201),
    ...rekor,
  },
  "GET /api/v1/log/entries": {
    summary: "Rekor v1: an entry by its index",
    query: ["logIndex"],
    ...ok(json, logEntries),
    ...rekor,
  },
  "GET /api/v1/log/entries/:id": {
    summary: "Rekor v1: an entry by its id",
    ...ok(json, logEntries),
    ...rekor,
  },
  "POST /api/v1/log/entries/retrieve": {
    summary: "Rekor v1: entries by id, index or content",
    request: v.looseObject({
      entryUUIDs: v.nullish(strings),
      logIndexes: v.nullish(v.array(v.number())),
      entries: v.nullish(v.array(v.looseObject({}))),
    }),
    ...ok(json, v.array(logEntries)),
    ...rekor,
  },
  "GET /api/v1/log": {
    summary: "Rekor v1: the log's head",
    ...ok(json, v.looseObject({ rootHash: hash, signedTreeHead: v.string(), treeID: v.string() })),
    ...rekor,
  },
  "GET /api/v1/log/publicKey": {
    summary: "Rekor v1: the log's key",
    query: ["treeID"],
    ...ok("application/x-pem-file"),
    ...rekor,
  },
  "GET /api/v1/log/proof": {
    summary: "Rekor v1: a consistency proof",
    query: ["firstSize", "lastSize", "treeID"],
    ...ok(json, v.strictObject({ rootHash: hash, hashes: v.array(hash) })),
    ...rekor,
  },
  "POST /api/v1/index/retrieve": {
    summary: "Rekor v1: ids of the newest entries by hash, e-mail address, name and key",
    request: v.looseObject({
      hash: v.nullish(v.string()),
      email: v.nullish(v.string()),
      subject: v.nullish(v.string()),
      publicKey: v.nullish(v.looseObject({ format: v.literal("x509"), content: v.string() })),
      operator: v.nullish(v.picklist(["and", "or"])),
    }),
    ...ok(json, strings),
    ...rekor,
  },
  "GET /api/search": {
    summary: "Entries of all logs by what they say; times are RFC 3339, `*` stands for any text",
    query: searchParameters,
    ...ok(json, searchResponse),
    ...rekor,
  },
  "POST /api/v2/log/entries": {
    summary: "Rekor v2: logs an entry",
    request: v.looseObject({}),
    ...ok(json, v.looseObject({ logIndex: v.string(), canonicalizedBody: v.string() }), 201),
    ...fulcio,
  },
  "POST /api/v1/timestamp": {
    summary: "RFC 3161, asked for in DER or JSON",
    request: v.looseObject({ artifactHash: v.string(), hashAlgorithm: v.string() }),
    ...ok("application/timestamp-reply"),
    ...rekor,
  },
  "GET /api/v1/timestamp/certchain": {
    summary: "The timestamp authority's chain",
    ...ok(pem),
    ...rekor,
  },
  "GET /logs/:log/checkpoint": { summary: "C2SP tlog-tiles: a log's checkpoint", ...ok(text) },
  "GET /logs/:log/tile/*": { summary: "C2SP tlog-tiles: a tile of a log", ...ok(bytes) },
  "GET /checkpoint": { summary: "The active Rekor v2 log's checkpoint", ...ok(text) },
  "GET /tile/*": { summary: "A tile of the active Rekor v2 log", ...ok(bytes) },
  "GET /api/v2/checkpoint": { summary: "The active Rekor v2 log's checkpoint", ...ok(text) },
  "GET /api/v2/tile/*": { summary: "A tile of the active Rekor v2 log", ...ok(bytes) },
  "GET /tuf/*": { summary: "The trust repository (TUF)", ...ok(json) },
  "GET /oidc/.well-known/openid-configuration": {
    summary: "The embedded provider's discovery document",
    ...ok(json, v.looseObject({})),
  },
  "GET /oidc/jwks": { summary: "The embedded provider's keys", ...ok(json, v.looseObject({})) },
  "POST /oidc/token": {
    summary: "The embedded provider's tokens",
    ...ok(json, v.looseObject({ id_token: v.string() })),
  },
  "GET /oidc/*": {
    summary: "The sign-in of people: pages, and redirects between them",
    response: { status: 303, mediaType: "text/html; charset=utf-8" },
  },
  "POST /oidc/*": {
    summary: "The forms of the sign-in, and the device flow (RFC 8628)",
    ...ok(json, v.looseObject({})),
  },
};
