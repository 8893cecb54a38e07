/** The keys of every issuer: fixed for those with a file, fetched for the others, and few at a time for those that only a template knows. */
import type { IssuerKeys, Surroundings } from "./issuer-keys.ts";
import { createIssuerKeys, fixedIssuerKeys } from "./issuer-keys.ts";
import { Failure } from "../../events/failure.ts";
import type { Issuer } from "./issuers.ts";
import { isPattern } from "./issuer-pattern.ts";

/** What configuration named as files, by path. */
export type Files = ReadonlyMap<string, Uint8Array>;

/** New issuers of templates in a minute: whoever sends tokens of many hosts gets no more packets out than that. */
const maxNewInAMinute = 30;

/** The keys of issuers, and since when none of those in use can be fetched. */
export interface KeyRings {
  readonly of: (issuer: Issuer) => IssuerKeys;
  readonly failingSince: () => Date | null;
}

/** Makes keys when an issuer is first met. `files` has every `jwksFile` and `authorityFile`. */
export function createKeyRings(surroundings: Surroundings, files: Files): KeyRings {
  const rings = new WeakMap<Issuer, IssuerKeys>();
  const exact = new Set<IssuerKeys>();
  let minute = Number.NEGATIVE_INFINITY;
  let met = 0;

  const meter = (): void => {
    const now = Math.floor(surroundings.clock.now().getTime() / 60_000);
    if (now !== minute) met = 0;
    minute = now;
    if (++met <= maxNewInAMinute) return;
    throw new Failure("issuer-unavailable", "too many issuers are new at once; try again later");
  };
  const make = ({ config, url, jwksOrigin }: Issuer): IssuerKeys => {
    const jwks = config.jwksFile === undefined ? undefined : files.get(config.jwksFile);
    if (jwks !== undefined) return fixedIssuerKeys(jwks);
    const authority =
      config.authorityFile === undefined ? undefined : files.get(config.authorityFile);
    const authorities = authority === undefined ? [] : [new TextDecoder().decode(authority)];
    return createIssuerKeys({ issuerUrl: url, jwksOrigin, authorities }, surroundings);
  };
  return {
    of(issuer) {
      const known = rings.get(issuer);
      if (known !== undefined) return known;
      const template = isPattern(issuer.config.issuerUrl);
      if (template) meter();
      const made = make(issuer);
      rings.set(issuer, made);
      if (!template) exact.add(made);
      return made;
    },
    failingSince() {
      const failing = [...exact].map((keys) => keys.failingSince());
      const [since = null] = failing;
      return since === null || failing.includes(null) ? null : since;
    },
  };
}
