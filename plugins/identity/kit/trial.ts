/** A trial of one provider: the way a server verifies tokens, with an issuer that says what it is told and a clock that stands still. */
import * as v from "valibot";
import { Malformed } from "../../../core/formats/malformed.ts";
import { createIssuers, type KnownProvider } from "../issuers.ts";
import { identity, type IssuerConfig } from "../manifest.ts";
import { createVerifier, type Verified } from "../verifier.ts";
import type { MockIssuer } from "./mock-issuer.ts";

/** When trials take place; providers do not know the time. */
export const trialTime = Date.UTC(2026, 0, 15) / 1_000;

/** What became of a token. */
export type Outcome = { readonly verified: Verified } | { readonly refused: string };

/** A provider before an issuer. */
export interface Trial {
  readonly issuer: IssuerConfig;
  /** The claims with the issuer, the audience and the times that make them a good token. */
  complete(claims: object): { readonly [name: string]: unknown };
  /** Signs and presents. */
  present(claims: object | string): Promise<Outcome>;
  presentToken(token: string): Promise<Outcome>;
}

/** An issuer as `config.yaml` has it, with its defaults. @throws {Malformed} */
export function parseIssuer(settings: object): IssuerConfig {
  const checked = v.safeParse(identity.manifest.config, { issuers: [settings] });
  if (!checked.success) {
    const [issue] = checked.issues;
    throw new Malformed(`issuer: ${v.getDotPath(issue) ?? ""}: ${issue.message}`);
  }
  const [issuer] = checked.output.issuers;
  if (issuer === undefined) throw new Malformed("issuer: none");
  return issuer;
}

/** @throws {Malformed} if the issuer cannot be configured so. */
export function createTrial(
  known: KnownProvider,
  settings: { readonly issuerUrl: string },
  mock: MockIssuer,
): Trial {
  const provider = known.provider.type;
  const issuer = parseIssuer({ ...settings, provider });
  const issuers = createIssuers([issuer], [known]);
  const clock = { now: () => new Date(trialTime * 1_000) };
  const verify = createVerifier({
    issuers,
    keysOf: () => mock.keys,
    clock,
    skewSeconds: 30,
    useOnce: null,
  });
  const presentToken = async (token: string): Promise<Outcome> => {
    try {
      return { verified: await verify(token) };
    } catch (thrown) {
      if (thrown instanceof Malformed) return { refused: thrown.message };
      throw thrown;
    }
  };
  return {
    issuer,
    complete: (claims) => ({
      iss: issuer.issuerUrl,
      aud: issuer.audience,
      sub: "trial-subject",
      iat: trialTime - 10,
      exp: trialTime + 300,
      ...claims,
    }),
    present: async (claims) => await presentToken(await mock.sign(claims)),
    presentToken,
  };
}
