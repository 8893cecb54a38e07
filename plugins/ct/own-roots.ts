/**
 * Where the CA is its own root, the one that takes over from it is another root, which is known once the vault has certified it: before
 * it issues, and without a restart. Below an offline root nothing of this applies: the root stays.
 */
import { equalBytes } from "../../core/formats/encoding.ts";
import type { Clock } from "../../core/clock.ts";
import { type ChainRules, readTrust, type Trust } from "./chain.ts";

/** So often at most is the vault asked, whatever strangers submit. */
const lookEveryMs = 1_000;

/** Looks for roots that have come and adds them to those that are believed; `now` whether or not it was done a moment ago. */
export type LookForRoots = (now: boolean) => Promise<void>;

/** Nothing is looked for unless a chain that is believed consists of its root alone. */
export function ownRoots(
  trust: Trust,
  list: () => Promise<{ readonly certificates: readonly Uint8Array[] }>,
  { rules, clock }: { readonly rules: Omit<ChainRules, "now">; readonly clock: Clock },
): LookForRoots {
  if (!trust.chains.some((chain) => chain.length === 1)) return async () => await nothing;
  let lookedAtMs = -Infinity;
  return async (now) => {
    const nowMs = (clock.steadyMs ?? (() => clock.now().getTime()))();
    if (!now && nowMs - lookedAtMs < lookEveryMs) return;
    lookedAtMs = nowMs;
    const { certificates } = await list();
    const fresh = certificates.filter(
      (der) => !trust.roots.some(({ certificate }) => equalBytes(certificate.der, der)),
    );
    const read = readTrust(
      fresh.map((der) => [der]),
      { ...rules, now: clock.now() },
    );
    trust.roots.push(...read.roots);
    trust.chains.push(...read.chains);
  };
}

const nothing = Promise.resolve();

/** What leads to no root that is known is held once more against those that have come since. */
export function againWithRoots<T>(
  judge: () => T,
  {
    trust,
    look,
    from,
  }: { readonly trust: Trust; readonly look: LookForRoots; readonly from: string },
): T | Promise<T> {
  const known = trust.roots.length;
  try {
    return judge();
  } catch (thrown) {
    return look(from === "issuer").then(() => {
      if (trust.roots.length === known) throw thrown;
      return judge();
    });
  }
}
