/** The only door: which addresses it listens on and what the installation is called from outside. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
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
import { listIssuers } from "../../events/identity.ts";
import { describeProvider, issueDemoToken } from "../../events/idp.ts";
import { issueCertificate, trustBundle } from "../../events/issuer.ts";
import { latestHead, logName, readTile } from "../../events/log.ts";
import { createEntry, describeLog, getEntry, proveLog } from "../../events/rekor.ts";
import { readTrustFile } from "../../events/trust.ts";

const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535));
const path = v.pipe(v.string(), v.regex(/^[a-z0-9.-]+(?:\/[a-z0-9.-]+)*$/), v.excludes(".."));
const count = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000));

export const http = definePlugin({
  name: "http",
  summary: "Serves every public API, and is the only way in",
  config: v.strictObject({
    /** The origin that published URLs start with. Never taken from a request. */
    publicUrl: v.pipe(v.string(), v.regex(/^https?:\/\/[a-z0-9.-]+(?::\d{1,5})?$/)),
    /** Addresses of both listeners. */
    addresses: v.optional(v.pipe(v.array(v.string()), v.minLength(1)), ["127.0.0.1", "::1"]),
    port,
    /** Absent means no TLS listener. */
    tlsPort: v.optional(port),
    /** Files below the home, PEM. */
    tlsCertificate: v.optional(path, "trust/tls/cert.pem"),
    tlsKey: v.optional(path, "secrets/tls/key.pem"),
    /** The RFC 6962 log that `/logs/<name>/ct/v1/` serves. */
    ctLog: v.optional(logName, "ct"),
    /** True shows on the home page that demo accounts are on. */
    demo: v.optional(v.boolean(), false),
    limits: v.optional(
      v.strictObject({
        connections: v.optional(count, 2_000),
        /** Requests served at once; the next is told to come back later. */
        requestsInFlight: v.optional(count, 1_024),
        /** Requests a second of one client address (IPv6: of one /64); absent means no limit. */
        requestsPerSecondPerClient: v.optional(count),
      }),
      {},
    ),
  }),
  offers: [],
  needs: [
    addChain,
    addPreChain,
    createEntry,
    describeLog,
    describeProvider,
    getEntries,
    getEntryAndProof,
    getEntry,
    getProofByHash,
    getRoots,
    getSth,
    getSthConsistency,
    issueCertificate,
    issueDemoToken,
    latestHead,
    listIssuers,
    proveLog,
    readTile,
    readTrustFile,
    trustBundle,
  ],
  emits: [],
  follows: [],
  oversees: true,
  reaches: ["listen"],
});
