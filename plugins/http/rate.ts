/** How often one client may come: a burst, then a rate, in memory. */
import { placeOf } from "../../core/formats/network.ts";
import { createMeter, type Quota } from "../../core/rate.ts";
import type { Failure } from "../../events/failure.ts";

/** Says whether a request comes too early. */
export interface Rate {
  /** Null if it would be in time, else the milliseconds until it would be. Counts nothing. */
  earlyMs(address: string | undefined): number | null;
  /** As {@link earlyMs}; and if it is in time, it counts. */
  tooEarlyMs(address: string | undefined): number | null;
  /** What to tell a client of its limit (draft-ietf-httpapi-ratelimit-headers-10 §3, §4). */
  headers(address: string | undefined): { readonly [name: string]: string };
}

/** What one client may do. */
export interface ClientLimit {
  readonly perSecond: number;
  /** How many may come at once after a pause; a second's worth if absent. */
  readonly burst?: number | undefined;
}

/** A site has a /48, 65,536 networks of /64: together they get as much as this many clients. */
const networksPerSite = 16;

/** `nowMs` must not run backwards; `share` of the limits holds at the moment. */
export function createRate(
  { perSecond, burst = perSecond }: ClientLimit,
  nowMs: () => number,
  share?: () => number,
): Rate {
  // One more than the burst: the request that begins it.
  const clients = createMeter({ perSecond, burst: burst + 1 }, nowMs, share);
  const sites = createMeter(
    { perSecond: perSecond * networksPerSite, burst: burst * networksPerSite + 1 },
    nowMs,
    share,
  );
  const windowSeconds = Math.max(1, Math.ceil(burst / perSecond));
  const earlyMs = (address = ""): number | null => {
    const { client, site } = placeOf(address);
    return clients.earlyMs(client) ?? (site === null ? null : sites.earlyMs(site));
  };
  return {
    earlyMs,
    tooEarlyMs(address = "") {
      const early = earlyMs(address);
      if (early !== null) return early;
      const { client, site } = placeOf(address);
      clients.count(client);
      if (site !== null) sites.count(site);
      return null;
    },
    headers(address = "") {
      const { client, site } = placeOf(address);
      const { remaining, resetMs } = lesser(
        clients.quota(client),
        site === null ? null : sites.quota(site),
      );
      return {
        "ratelimit-policy": `"client";q=${burst};w=${windowSeconds}`,
        ratelimit: `"client";r=${Math.min(remaining, burst)};t=${Math.ceil(resetMs / 1_000)}`,
      };
    },
  };
}

function lesser(one: Quota, other: Quota | null): Quota {
  return other !== null && other.remaining < one.remaining ? other : one;
}

/** What a room said of when to come back. */
export function retryAfterMs({ details }: Failure): number {
  const { retryAfterSeconds } = (details ?? {}) as { readonly retryAfterSeconds?: unknown }; // whatever it is
  return typeof retryAfterSeconds === "number" ? retryAfterSeconds * 1_000 : 0;
}
