/**
 * Several CAs at once, as in the weeks of a rotation: besides the one in use, each of the configured others takes its turn while its
 * window is open, so that clients meet the new one before it is alone. A window holds whole certificates: one that would end after
 * it, or after its CA's own certificate, is another CA's to issue.
 */
import { equalBytes } from "../../core/formats/encoding.ts";
import { describe } from "./active.ts";
import type { Authority } from "./authority.ts";
import type { IssuerContext } from "./issuance.ts";

/** A CA besides the one in use, and when. */
export interface Alongside {
  readonly authority: Authority;
  readonly from: Date;
  readonly until: Date;
}

/** Reads the configured CAs. @throws {Failure} key-unavailable if the vault has no chain for one. */
export async function readAlongside(
  asking: Pick<IssuerContext, "ask" | "config">,
): Promise<readonly Alongside[]> {
  return await Promise.all(
    asking.config.alongside.map(async ({ key, from, until }) => {
      const authority = await describe(asking, key);
      const { notBefore, notAfter } = authority;
      return {
        authority,
        from: from === undefined || from < notBefore ? notBefore : from,
        until: until === undefined || until > notAfter ? notAfter : until,
      };
    }),
  );
}

/** Picks the CA of the next certificate: those that may issue now, in turn. */
export function takeTurns() {
  let turn = 0;
  return (
    active: Authority,
    others: readonly Alongside[],
    { now, lifetimeSeconds }: { readonly now: Date; readonly lifetimeSeconds: number },
  ): Authority => {
    // Outside its term too: then the lint says what is wrong.
    if (others.length === 0) return active;
    // As certificates have it: whole seconds.
    const beginsMs = Math.floor(now.getTime() / 1_000) * 1_000;
    const endsMs = beginsMs + lifetimeSeconds * 1_000;
    const holds = (from: Date, until: Date): boolean => +from <= beginsMs && endsMs <= +until;
    const open = others.filter(({ from, until }) => holds(from, until));
    const beside = open.map(({ authority }) => authority);
    const all = [active, ...beside.filter(({ label }) => label !== active.label)];
    // The one in use stands in for itself even outside its term: then the lint says what is wrong.
    const valid = all.filter(({ notBefore, notAfter }) => holds(notBefore, notAfter));
    turn = (turn + 1) % Math.max(1, valid.length);
    return valid[turn] ?? active;
  };
}

/** Chains, each once. */
export function distinct(chains: readonly (readonly Uint8Array[])[]): Uint8Array[][] {
  const isSame = (one: readonly Uint8Array[], other: readonly Uint8Array[]): boolean =>
    one.length === other.length &&
    one.every((der, at) => equalBytes(der, other[at] ?? new Uint8Array()));
  return chains
    .filter((chain, at) => chains.findIndex((other) => isSame(other, chain)) === at)
    .map((chain) => [...chain]);
}
