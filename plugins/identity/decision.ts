/** Asks the policy about a verified identity. */
import { Failure } from "../../events/failure.ts";
import type { Context } from "../../core/plugin.ts";
import type { Principal, Provenance } from "../../events/identity.ts";
import { decide } from "../../events/policy.ts";
import type { Claims } from "./id-token.ts";

/** A verified token and what was read from it. */
export interface Decidable {
  readonly principal: Principal;
  readonly provenance: Omit<Provenance, "decision">;
  readonly claims: Claims;
  readonly atMs: number;
}

type Ask = Context<never, readonly [typeof decide]>["ask"];

/**
 * The provenance with the decision that allowed the identity.
 *
 * @throws {Failure} policy-refused or rate-limited, with `refusedIdentity` as details.
 */
export async function requireDecision(
  ask: Ask,
  { principal, provenance, claims, atMs }: Decidable,
): Promise<Provenance> {
  const { provider, assurance } = provenance;
  const question = { provider, principal, claims: { ...claims }, assurance, atMs: BigInt(atMs) };
  const answer = await ask(decide, question);
  const { allowed, reason, rule, policyVersion, policySha256, retryAfterSeconds } = answer;
  const decided = { ...provenance, decision: { rule, policyVersion, policySha256 } };
  if (allowed) return decided;
  const limited = retryAfterSeconds !== undefined;
  throw new Failure(limited ? "rate-limited" : "policy-refused", `${rule}: ${reason}`, {
    details: { principal, provenance: decided, ...(limited && { retryAfterSeconds }) },
  });
}
