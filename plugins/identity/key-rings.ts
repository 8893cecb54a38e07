/** The keys of every issuer: fixed for those with a file, fetched for the others, and few at a time for those that only a template knows. */
import { hash } from "node:crypto";
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
  /** Keys of an issuer that was configured by its URL, by everything that says where they come from. */
  readonly kept: ReadonlyMap<string, IssuerKeys>;
}

/**
 * Makes keys when an issuer is first met. `files` has every `jwksFile` and `authorityFile`. What was fetched by the rings `before` stays
 * good where it came from the same place: an issuer that is down when a configuration changes is not lost by that.
 */
export function createKeyRings(
  surroundings: Surroundings,
  files: Files,
  before?: Pick<KeyRings, "kept">,
): KeyRings {
  const rings = new WeakMap<Issuer, IssuerKeys>();
  const kept = new Map<string, IssuerKeys>();
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
      const from = originOf(issuer, files);
      const made = (template ? undefined : before?.kept.get(from)) ?? make(issuer);
      rings.set(issuer, made);
      if (!template) kept.set(from, made);
      return made;
    },
    kept,
    failingSince() {
      const failing = [...kept.values()].map((keys) => keys.failingSince());
      const [since = null] = failing;
      return since === null || failing.includes(null) ? null : since;
    },
  };
}

/** Where an issuer's keys come from. */
function originOf({ config, url, jwksOrigin = "" }: Issuer, files: Files): string {
  const [jwks, authority] = [config.jwksFile, config.authorityFile].map((file) =>
    file === undefined ? "" : hash("sha256", files.get(file) ?? new Uint8Array()),
  );
  return JSON.stringify([url, jwksOrigin, jwks, authority]);
}
