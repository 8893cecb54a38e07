/** What is measured. */
import type { Prepared } from "./http.ts";
import {
  certificateEntries,
  certificateEntriesV2,
  certificateRequests,
  checkpointReads,
  keyEntries,
  keyEntriesV2,
  proofReads,
  type Target,
  tileReads,
  timestampRequests,
} from "./material.ts";

/** One kind of request and how it is put. */
export interface Operation {
  readonly name: string;
  /** What the report calls it. */
  readonly title: string;
  /** Statuses that count as success. */
  readonly expected: readonly number[];
  /** Requests under way in the closed loop. */
  readonly lanes: number;
  /** So many under way, measured beside it: what waiting longer buys. */
  readonly moreLanes?: number;
  /** Offered rates of the open loop, requests a second, rising. */
  readonly rates: readonly number[];
  /** Requests a second that material is made for until a ceiling has been measured. */
  readonly guess: number;
  /** Processes that work for it, when the services are together: those worth a profile. */
  readonly profiled: readonly string[];
  /** True if it is measured one at a time, too. */
  readonly isAlone?: boolean;
  readonly make: (target: Target, count: number) => Promise<readonly Prepared[]>;
  /** Algorithm of the issuing CA's key in the instance it is measured on; P-256, the demo's, if absent. */
  readonly ca?: CaAlgorithm;
}

/** Kinds of issuing CA that certificates are measured with. */
export type CaAlgorithm = "ecdsa-p256" | "ecdsa-p384";

/** Those that targets are set for, and how it goes on from there. */
const certificateRates = [100, 200, 500];
const entryRates = [50, 200, 1_000];
/** Reads are cheap: low rates would tell nothing new. */
const readRates = [1_000];

/** Every operation; `timestamp` runs only where the instance's signing configuration names a timestamp authority. */
export const operations: readonly Operation[] = [
  {
    name: "certificate",
    title: "certificate, SCT embedded (own token, key, identity)",
    expected: [200],
    lanes: 128,
    moreLanes: 256,
    rates: certificateRates,
    guess: 1_200,
    profiled: ["services", "vault"],
    isAlone: true,
    make: certificateRequests,
  },
  {
    name: "certificate-p384",
    title: "certificate, SCT embedded, issued with a P-384 key",
    expected: [200],
    lanes: 128,
    rates: [100, 200],
    guess: 500,
    profiled: ["services", "vault"],
    make: certificateRequests,
    ca: "ecdsa-p384",
  },
  {
    name: "entry-v2",
    title: "Rekor v2 entry, certificate as verifier (own certificate, digest)",
    expected: [201],
    lanes: 64,
    rates: entryRates,
    guess: 1_500,
    profiled: ["services", "vault"],
    isAlone: true,
    make: certificateEntriesV2,
  },
  {
    name: "entry-v2-key",
    title: "Rekor v2 entry, bare key as verifier (own key, digest)",
    expected: [201],
    lanes: 64,
    rates: entryRates,
    guess: 2_500,
    profiled: ["services", "vault"],
    make: keyEntriesV2,
  },
  {
    name: "entry",
    title: "Rekor v1 entry, certificate as verifier (own certificate, digest)",
    expected: [201],
    lanes: 64,
    rates: entryRates,
    guess: 1_500,
    profiled: ["services", "vault"],
    isAlone: true,
    make: certificateEntries,
  },
  {
    name: "entry-key",
    title: "Rekor v1 entry, bare key as verifier (own key, digest)",
    expected: [201],
    lanes: 64,
    rates: entryRates,
    guess: 2_500,
    profiled: ["services", "vault"],
    make: keyEntries,
  },
  {
    name: "timestamp",
    title: "timestamp (own digest, nonce)",
    expected: [200, 201],
    // Twice as many as for entries: a batch of timestamps is under way in the vault while the next one gathers.
    lanes: 128,
    rates: [100, 1_000],
    guess: 6_000,
    profiled: ["services", "vault"],
    make: timestampRequests,
  },
  {
    name: "tile",
    title: "read of a full tile",
    expected: [200],
    lanes: 32,
    rates: readRates,
    guess: 10_000,
    profiled: ["services"],
    make: tileReads,
  },
  {
    name: "checkpoint",
    title: "read of the checkpoint",
    expected: [200],
    lanes: 32,
    rates: readRates,
    guess: 10_000,
    profiled: ["services"],
    make: checkpointReads,
  },
  {
    name: "proof",
    title: "read of an entry with inclusion proof",
    expected: [200],
    lanes: 32,
    rates: readRates,
    guess: 6_000,
    profiled: ["services"],
    make: proofReads,
  },
];
