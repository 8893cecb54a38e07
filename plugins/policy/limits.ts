/** How often one identity, and one issuer, may ask for certificates. */
import { hash } from "node:crypto";
import { createMeter, type Meter, slowStart } from "../../core/rate.ts";
import type { Principal } from "../../events/identity.ts";
import type { LimitsConfig } from "./manifest.ts";

/** Why somebody must come back, and when. */
export interface TooOften {
  readonly rule: "limit:identity" | "limit:issuer";
  readonly reason: string;
  readonly retryAfterSeconds: number;
}

/** Counts a request if it may come now, and says else why not. `nowMs` must not run backwards. */
export function createLimits(
  config: LimitsConfig,
  nowMs: () => number,
): (principal: Principal) => TooOften | null {
  const share = slowStart(config.slowStartSeconds * 1_000, nowMs);
  const meterOf = (rate: LimitsConfig["perIssuer"]): Meter | null =>
    rate === undefined
      ? null
      : createMeter({ perSecond: rate.requestsPerSecond, burst: rate.burst }, nowMs, share);
  const identities = meterOf(config.perIdentity);
  const issuers = meterOf(config.perIssuer);
  return ({ oidcIssuer, subject }) => {
    // Hashed: a subject may be long, and there are many.
    const who = hash("sha256", JSON.stringify([oidcIssuer, subject]), "base64");
    const identityEarlyMs = identities?.earlyMs(who) ?? null;
    if (identityEarlyMs !== null) {
      const reason = "this identity has asked for too many certificates";
      return { rule: "limit:identity", reason, retryAfterSeconds: seconds(identityEarlyMs) };
    }
    const issuerEarlyMs = issuers?.earlyMs(oidcIssuer) ?? null;
    if (issuerEarlyMs !== null) {
      const reason = "the identities of this issuer have asked for too many certificates";
      return { rule: "limit:issuer", reason, retryAfterSeconds: seconds(issuerEarlyMs) };
    }
    identities?.count(who);
    issuers?.count(oidcIssuer);
    return null;
  };
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1_000));
}
