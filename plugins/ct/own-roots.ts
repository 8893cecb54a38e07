/**
 * Where the CA is its own root, the one that takes over from it is another root, which is known once the vault has certified it: before
 * it issues, and without a restart. Below an offline root nothing of this applies: the root stays.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { KeyInsecure } from "../../core/crypto/keys.ts";
import { sha256 } from "../../core/crypto/hash.ts";
import { encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Clock } from "../../core/clock.ts";
import type { Journal } from "../../core/journal.ts";
import { Failure } from "../../events/failure.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { type ChainRules, readTrust, type Trust } from "./chain.ts";

/** So often at most is the vault asked, whatever strangers submit. */
const lookEveryMs = 1_000;
/** So long is its answer waited for on behalf of strangers, who have to be answered themselves. */
const patienceMs = 1_000;

/**
 * Looks for roots that have come and adds them to those that are believed; `now` whether or not it was done a moment ago. Only who has
 * it done `now` hears that the vault is away: everybody else goes on with what is known.
 *
 * @throws {Failure} if the vault does not answer, and only `now`
 */
export type LookForRoots = (now: boolean) => Promise<void>;

interface Parts {
  readonly rules: Omit<ChainRules, "now">;
  readonly clock: Clock;
  readonly journal: Journal;
}

/**
 * Nothing is looked for unless a chain that is believed consists of its root alone. The vault lists roots for ever: one that does not
 * hold now, because its term is over or has not begun, is passed over and looked at again the next time.
 */
export function ownRoots(
  trust: Trust,
  list: () => Promise<{ readonly certificates: readonly Uint8Array[] }>,
  { rules, clock, journal }: Parts,
): LookForRoots {
  if (!trust.chains.some((chain) => chain.length === 1)) return async () => await nothing;
  let lookedAtMs = -Infinity;
  const told = new Set<string>();
  const passOver = (der: Uint8Array, why: string): void => {
    const certificateSha256 = encodeHex(sha256(der));
    if (told.has(certificateSha256)) return;
    told.add(certificateSha256);
    journal.warn("ct.own-root-passed-over", { certificateSha256, why });
  };
  const journalled = (error: unknown): null => {
    journal.warn("ct.own-roots-not-looked-for", { error });
    return null;
  };
  return async (now) => {
    const nowMs = (clock.steadyMs ?? (() => clock.now().getTime()))();
    if (!now && nowMs - lookedAtMs < lookEveryMs) return;
    lookedAtMs = nowMs;
    const answer = await (now ? list() : inTime(list()).catch(journalled));
    if (answer === null) return;
    const { certificates } = answer;
    const fresh = certificates.filter(
      (der) => !trust.roots.some(({ certificate }) => equalBytes(certificate.der, der)),
    );
    for (const der of fresh) {
      const read = readRoot(der, { ...rules, now: clock.now() });
      if (typeof read === "string") {
        passOver(der, read);
        continue;
      }
      trust.roots.push(...read.roots);
      trust.chains.push(...read.chains);
    }
  };
}

/**
 * The chains of the keys that the configuration names. One that does not hold now, because a term in it is over or has not begun, stops
 * none of the others: its root goes on being named to those who ask for roots (RFC 6962 §4.7), nothing below it is taken while that
 * lasts, and the journal says so. Those that hold come first, as a root may be called like the one before it.
 *
 * @throws {Malformed} or {KeyInsecure} or {Failure} if one would not hold at any time.
 */
export function trustIn(
  chains: readonly (readonly Uint8Array[])[],
  { rules, clock, journal }: Parts,
): Trust {
  const now = clock.now();
  const isInTerm = (chain: readonly Uint8Array[]) => {
    const { begins, ends } = termOf(chain);
    return chain.length === 0 || (begins <= now && now <= ends);
  };
  const holds = readTrust(chains.filter(isInTerm), { ...rules, now });
  for (const chain of chains.filter((one) => !isInTerm(one))) {
    const { begins, ends } = termOf(chain);
    const read = readTrust([chain], { ...rules, now: begins });
    const certificateSha256 = chain.map((der) => encodeHex(sha256(der)));
    journal.warn("ct.accepted-chain-not-valid-now", { certificateSha256, begins, ends });
    holds.roots.push(...read.roots);
    holds.chains.push(...read.chains);
  }
  return holds;
}

/** When all certificates of a chain are valid. */
function termOf(chain: readonly Uint8Array[]): { readonly begins: Date; readonly ends: Date } {
  const read = chain.map(parseCertificate);
  return {
    begins: new Date(Math.max(...read.map(({ notBefore }) => notBefore.getTime()))),
    ends: new Date(Math.min(...read.map(({ notAfter }) => notAfter.getTime()))),
  };
}

/** One root by itself, or why it does not hold: the others do not suffer from it. */
function readRoot(der: Uint8Array, rules: ChainRules): Trust | string {
  try {
    return readTrust([[der]], rules);
  } catch (thrown) {
    const isRefusal =
      thrown instanceof Failure || thrown instanceof Malformed || thrown instanceof KeyInsecure;
    if (isRefusal) return thrown.message;
    throw thrown;
  }
}

/** @throws {Failure} deadline-exceeded if it takes too long */
async function inTime<T>(work: Promise<T>): Promise<T> {
  const done = new AbortController();
  const late = async (): Promise<never> => {
    await sleep(patienceMs, undefined, { signal: done.signal });
    throw new Failure("deadline-exceeded", "the vault does not say which roots it has");
  };
  try {
    return await Promise.race([work, late()]);
  } finally {
    done.abort();
  }
}

const nothing = Promise.resolve();

/**
 * What leads to no root that is known is held once more against those that have come since. If the vault is away, the issuer hears that,
 * and may ask again; for everybody else it is refused as before.
 */
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
