/**
 * How often somebody may come with tokens that turn out to be nobody's: by network, and there by the issuer that the tokens claim. Only
 * those that were refused before anybody was authenticated count, so whoever shows good tokens is never slowed by them; whoever has
 * sent too many others is refused before a signature is verified or a key set fetched.
 */
import { createMeter, type Meter } from "../../core/rate.ts";
import { unverifiedIssuer } from "../../core/formats/unverified-issuer.ts";
import type { QuestionOf } from "../../events/contract.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";
import { issueCertificate } from "../../events/issuer.ts";
import type { Put } from "./route.ts";

/** Of one network. */
export interface StrangersLimit {
  readonly rejectedPerSecondPerNetwork: number;
  /** How many may come at once after a pause. */
  readonly burstRejectedPerNetwork: number;
}

/** What one claimed issuer gets of its network's share. */
const issuerShare = 0.25;
/** Refusals of those whose token said nothing that could be believed. */
const unproven: readonly FailureCode[] = ["identity-rejected", "issuer-unavailable"];
const reason = "too many tokens that are nobody's";

/** `put`, but for requests for certificates from where too many bad ones have come. `nowMs` must not run backwards. */
export function slowStrangers(put: Put, limit: StrangersLimit, nowMs: () => number): Put {
  const { rejectedPerSecondPerNetwork: perSecond, burstRejectedPerNetwork: burst } = limit;
  const networks = createMeter({ perSecond, burst }, nowMs);
  const issuers = createMeter(
    { perSecond: perSecond * issuerShare, burst: burst * issuerShare },
    nowMs,
  );
  const early = (meter: Meter, who: string, oidcIssuer: string | undefined): Failure | null => {
    const earlyMs = meter.earlyMs(who);
    if (earlyMs === null) return null;
    const retryAfterSeconds = Math.ceil(earlyMs / 1_000);
    return new Failure("rate-limited", reason, { details: { retryAfterSeconds, oidcIssuer } });
  };
  const keysOf = (idToken: string, network: string) => {
    const oidcIssuer = unverifiedIssuer(idToken) ?? undefined;
    return { oidcIssuer, issuer: JSON.stringify([network, oidcIssuer]) };
  };
  // No asynchronous function: it would be kept as long as the issuance is under way.
  const issue = (question: QuestionOf<typeof issueCertificate>) => {
    const { idToken, network = "unknown" } = question;
    // Where nothing bad has come from lately, nothing is looked at.
    if (networks.quota(network).resetMs > 0) {
      const { issuer, oidcIssuer } = keysOf(idToken, network);
      const refusal = early(networks, network, oidcIssuer) ?? early(issuers, issuer, oidcIssuer);
      if (refusal !== null) return Promise.reject(refusal);
    }
    return put(issueCertificate, question).catch((thrown: unknown) => {
      if (thrown instanceof Failure && unproven.includes(thrown.code)) {
        networks.count(network);
        issuers.count(keysOf(idToken, network).issuer);
      }
      throw thrown;
    });
  };
  const guarded = (what: { readonly name: string }, question: unknown) =>
    what === issueCertificate
      ? issue(question as QuestionOf<typeof issueCertificate>) // the question of that ask
      : put(what as Parameters<Put>[0], question as Parameters<Put>[1]);
  return guarded as Put; // answers what `put` answers, of whichever ask
}
