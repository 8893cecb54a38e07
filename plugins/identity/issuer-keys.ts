/**
 * The keys of one OIDC issuer: found by OpenID Connect Discovery 1.0 §4, kept for as long as the issuer says within bounds,
 * fetched by one caller for all, and fetched early for an unknown key id at most once a minute. Keys older than a day are not used.
 */
import type { KeyObject } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import type { OutboundFetch } from "../../core/fetch.ts";
import { parseJsonBytes } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Journal } from "../../core/journal.ts";
import { Failure } from "../../events/failure.ts";
import { isObject, type SignatureAlgorithm } from "./id-token.ts";
import { type KeySet, parseJwks } from "./jwks.ts";

/** The keys of one issuer. */
export interface IssuerKeys {
  /** Null if the issuer has no such key. @throws {Failure} `issuer-unavailable`. */
  find(keyId: string | null, algorithm: SignatureAlgorithm): Promise<KeyObject | null>;
  /** Since when its keys cannot be fetched though they are needed; null if they can, as far as is known. */
  failingSince(): Date | null;
}

/** What fetching needs. */
export interface Surroundings {
  readonly clock: Clock;
  readonly fetch: OutboundFetch;
  readonly journal: Journal;
  /** Between 0 and 1: spreads refreshes of many instances over time. */
  readonly jitter: () => number;
  /** Runs a fetch that many askers wait for outside the ask of the first one. */
  readonly detached: <T>(work: () => T) => T;
}

const minFreshMs = 60_000;
const maxFreshMs = 12 * 3_600_000;
const defaultFreshMs = 3_600_000;
const maxAgeMs = 24 * 3_600_000;
const unknownKeyIntervalMs = 60_000;
const firstRetryMs = 500;
const maxRetryMs = 60_000;
/** Discovery and key set together stay within the ask's deadline. */
const fetchTimeoutMs = 5_000;

interface Loaded {
  readonly keys: KeySet;
  readonly jwksUri: string;
  readonly loadedAtMs: number;
  readonly freshForMs: number;
}

/** Where an issuer's keys are. */
export interface KeySource {
  readonly issuerUrl: string;
  /** The origin of `jwks_uri` where it is not the issuer's own. */
  readonly jwksOrigin?: string | undefined;
  /** Certificates (PEM) trusted for this issuer besides the others. */
  readonly authorities?: readonly string[];
}

/** Keys that were put into a file: nothing is fetched, and what the file does not have does not exist. @throws {Malformed} */
export function fixedIssuerKeys(bytes: Uint8Array): IssuerKeys {
  const keys = parseJwks(bytes);
  return {
    find: async (keyId, algorithm) => await keys.find(keyId, algorithm),
    failingSince: () => null,
  };
}

/** Fetches nothing before it is asked. */
export function createIssuerKeys(issuer: KeySource, surroundings: Surroundings): IssuerKeys {
  const { clock, detached, journal } = surroundings;
  let loaded: Loaded | null = null;
  let loading: Promise<Loaded | null> | null = null;
  let discoveredAtMs = Number.NEGATIVE_INFINITY;
  let failures = 0;
  let failedAtMs = 0;
  let failingSince: Date | null = null;

  const nowMs = () => clock.now().getTime();
  /** True if less than `forMs` has passed since `sinceMs`; a clock set back does not make it true for ever. */
  const within = (sinceMs: number, forMs: number) => {
    const age = nowMs() - sinceMs;
    return age >= 0 && age < forMs;
  };
  const resting = () =>
    failures > 0 && within(failedAtMs, Math.min(maxRetryMs, firstRetryMs * 2 ** (failures - 1)));

  const load = async (): Promise<Loaded | null> => {
    try {
      const known = loaded !== null && within(discoveredAtMs, maxAgeMs) ? loaded.jwksUri : null;
      const jwksUri = known ?? (await discover(issuer, surroundings.fetch));
      if (known === null) discoveredAtMs = nowMs();
      loaded = await fetchKeys(jwksUri, issuer, surroundings);
      failures = 0;
      failingSince = null;
      return loaded;
    } catch (thrown) {
      failures++;
      failedAtMs = nowMs();
      failingSince ??= clock.now();
      // The document may have moved: look for it anew next time.
      discoveredAtMs = Number.NEGATIVE_INFINITY;
      const reason = thrown instanceof Error ? thrown.message : "unknown";
      journal.warn("issuer-keys-not-fetched", { issuer: issuer.issuerUrl, reason });
      return null;
    }
  };
  /** One fetch at a time for everybody; none while a failed one is recent. */
  const refresh = async (): Promise<Loaded | null> => {
    if (loading === null && resting()) return null;
    loading ??= detached(load).finally(() => {
      loading = null;
    });
    return await loading;
  };
  const fresh = (): Loaded | null =>
    loaded !== null && within(loaded.loadedAtMs, loaded.freshForMs) ? loaded : null;
  const refreshed = async (): Promise<Loaded> => {
    const usable = (await refresh()) ?? loaded;
    if (usable !== null && within(usable.loadedAtMs, maxAgeMs)) return usable;
    throw new Failure("issuer-unavailable", "the issuer's keys cannot be fetched");
  };

  return {
    async find(keyId, algorithm) {
      const set = fresh() ?? (await refreshed());
      const key = await set.keys.find(keyId, algorithm);
      if (key !== null || within(set.loadedAtMs, unknownKeyIntervalMs)) return key;
      return (await (await refresh())?.keys.find(keyId, algorithm)) ?? null;
    },
    failingSince: () => (within(failedAtMs, maxRetryMs) ? failingSince : null),
  };
}

/** The `jwks_uri` of an issuer whose document names exactly that issuer. */
async function discover(issuer: KeySource, fetch: OutboundFetch): Promise<string> {
  const url = `${issuer.issuerUrl.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const { status, body } = await fetch(url, limitsOf(issuer));
  if (status !== 200) throw new Malformed(`discovery: status ${status}`);
  const document = parseJsonBytes(body);
  if (!isObject(document) || document["issuer"] !== issuer.issuerUrl) {
    throw new Malformed("discovery: of another issuer");
  }
  const jwksUri = document["jwks_uri"];
  const origin = issuer.jwksOrigin ?? new URL(issuer.issuerUrl).origin;
  if (typeof jwksUri !== "string" || !jwksUri.startsWith(`${origin}/`)) {
    throw new Malformed("discovery: jwks_uri is of another origin");
  }
  return jwksUri;
}

function limitsOf({ authorities = [] }: KeySource) {
  return { timeoutMs: fetchTimeoutMs, authorities };
}

async function fetchKeys(
  jwksUri: string,
  issuer: KeySource,
  { fetch, clock, jitter }: Surroundings,
): Promise<Loaded> {
  const { status, body, maxAgeSeconds } = await fetch(jwksUri, limitsOf(issuer));
  if (status !== 200) throw new Malformed(`jwks: status ${status}`);
  const statedMs = maxAgeSeconds === null ? defaultFreshMs : maxAgeSeconds * 1_000;
  const freshForMs = Math.min(maxFreshMs, Math.max(minFreshMs, statedMs)) * (0.8 + 0.2 * jitter());
  return { keys: parseJwks(body), jwksUri, loadedAtMs: clock.now().getTime(), freshForMs };
}
