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
import { countRefusals, issueCertificate, trustBundle } from "../../events/issuer.ts";
import { latestHead, logName, readTile } from "../../events/log.ts";
import { createEntry, createEntryV2, describeLog, getEntry, proveLog } from "../../events/rekor.ts";
import { retrieveIndex, searchEntries } from "../../events/search.ts";
import { createTimestamp, timestampChain } from "../../events/timestamp.ts";
import { readTrustFile } from "../../events/trust.ts";

const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535));
const path = v.pipe(v.string(), v.regex(/^[a-z0-9.-]+(?:\/[a-z0-9.-]+)*$/), v.excludes(".."));
const milliseconds = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(600_000));
const count = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000));

/** What the door bears. Node's own defaults wait for ever for slow clients; these do not. */
const limits = v.optional(
  v.strictObject({
    connections: v.optional(count, 2_000),
    requestsPerConnection: v.optional(count, 1_000),
    /** Requests in the door, reads and writes each; the next is told to come back later. */
    requestsInFlight: v.optional(count, 1_024),
    /** Of those, worked on at once; the rest waits, and the newest is taken first. */
    requestsAtOnce: v.optional(count, 512),
    /** No request is let in to wait longer than this, as far as can be told from how fast others are served. */
    queueMs: v.optional(milliseconds, 1_000),
    /** A request that could not be begun within this time is refused instead. */
    longestWaitMs: v.optional(milliseconds, 5_000),
    /** Request bodies being read or worked on, together. */
    bodyBytesInFlight: v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(4_194_304), v.maxValue(2 ** 40)),
      67_108_864,
    ),
    /** Requests a second of one client address (IPv6: of one /64, and of one /48 sixteen times that); absent means no limit. */
    requestsPerSecondPerClient: v.optional(count),
    /** How many of those may come at once after a pause; absent means a second's worth. */
    burstPerClient: v.optional(count),
    /** Tokens of one network (IPv4 /24, IPv6 /48) that turn out to be nobody's; a quarter of it for each issuer they claim. */
    rejectedPerSecondPerNetwork: v.optional(count, 100),
    /** How many of those may come at once after a pause. */
    burstRejectedPerNetwork: v.optional(count, 2_000),
    /** After a start the limit of a client rises from a tenth to all in this time. */
    slowStartMs: v.optional(milliseconds, 30_000),
    /** Until a request's header is complete: all there is of a read. */
    headersTimeoutMs: v.optional(milliseconds, 10_000),
    /** Until a request is complete. */
    requestTimeoutMs: v.optional(milliseconds, 20_000),
    /** From the end of a request's header to the last byte of its response: the longest ask and a slow reader. */
    exchangeTimeoutMs: v.optional(milliseconds, 45_000),
    /** From the first byte of a response to its last: how long a client may take to read it. */
    responseTimeoutMs: v.optional(milliseconds, 20_000),
    /** Between two requests of a connection. Behind a proxy: longer than the proxy's. */
    keepAliveTimeoutMs: v.optional(milliseconds, 5_000),
    /** Nothing in either direction. */
    idleTimeoutMs: v.optional(milliseconds, 30_000),
    /** How long a load balancer needs to see that `/readyz` says no: the listeners close that much later. */
    drainNoticeMs: v.optional(v.pipe(milliseconds, v.maxValue(10_000)), 0),
  }),
  {},
);

/** What the door bears, defaults filled in. */
export type Limits = v.InferOutput<typeof limits>;

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
    /** The RFC 6962 log that the home page points to; `/logs/<name>/ct/v1/` serves every one. */
    ctLog: v.optional(logName, "ct"),
    /** The Rekor v2 log which, or whose newest successor, `/checkpoint` and `/tile/` serve; absent means that there is none. */
    rekorV2Log: v.optional(logName),
    /** True shows on the home page that demo accounts are on. */
    demo: v.optional(v.boolean(), false),
    limits,
  }),
  offers: [],
  needs: [
    addChain,
    addPreChain,
    countRefusals,
    createEntry,
    createEntryV2,
    createTimestamp,
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
    retrieveIndex,
    searchEntries,
    timestampChain,
    trustBundle,
  ],
  emits: [],
  follows: [],
  oversees: true,
  reaches: ["listen"],
});
