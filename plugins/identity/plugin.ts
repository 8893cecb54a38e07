/** Verifies an ID token against its issuer's keys and gives its principal, with a verdict sealed for the vault. */
import { createHash, randomBytes, randomInt } from "node:crypto";
import { compactVerify, errors } from "jose";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { encodeVerdict } from "../../core/formats/verdict.ts";
import { Failure } from "../../events/failure.ts";
import type { Principal } from "../../events/identity.ts";
import { checkClaims } from "./claims.ts";
import { parseIdToken, type UnverifiedToken } from "./id-token.ts";
import { readAssurance, requireDecision } from "./decision.ts";
import { createIssuerKeys, type IssuerKeys } from "./issuer-keys.ts";
import { identity, type IssuerConfig } from "./manifest.ts";
import { principalFrom } from "./principal.ts";
import type { Provider } from "./provider.ts";
import email from "./providers/email.ts";
import githubWorkflow from "./providers/github-workflow.ts";
import uri from "./providers/uri.ts";

const nonceBytes = 16;
const providers: readonly Provider[] = [email, uri, githubWorkflow];

interface Issuer {
  readonly config: IssuerConfig;
  readonly provider: Provider;
  readonly keys: IssuerKeys;
  /** SHA-256 of the provider's data. */
  readonly mappingSha256: Uint8Array;
}

/** Of the providers that come with this release. */
const providerVersion = "1";

export default identity.implement(async (context) => {
  const { ask, config, clock, seals } = context;
  const jitter = () => randomInt(1_000) / 1_000;
  const issuers = new Map<string, Issuer>();
  for (const one of config.issuers) {
    if (issuers.has(one.issuerUrl)) throw new Malformed(`issuer ${one.issuerUrl} is listed twice`);
    const provider = providerFor(one);
    issuers.set(one.issuerUrl, {
      config: one,
      provider,
      keys: createIssuerKeys(one, { ...context, jitter }),
      mappingSha256: createHash("sha256").update(JSON.stringify(provider)).digest(),
    });
  }

  return {
    handlers: {
      async authenticate({ idToken, publicKeyHash }) {
        try {
          const token = parseIdToken(idToken);
          // An exact match before anything is fetched: a token cannot send us anywhere.
          const issuer = issuers.get(token.issuer);
          if (issuer === undefined)
            throw new Malformed("id token: of an issuer that is not accepted");
          // The signature is judged first, so that nothing is told about claims nobody signed.
          await verifySignature(idToken, token, issuer.keys);
          const now = clock.now();
          const { skewSeconds } = config;
          checkClaims(token.claims, { audience: issuer.config.audience, now, skewSeconds });
          const principal = principalFrom(token.claims, issuer.config, issuer.provider);
          const provenance = await requireDecision(ask, {
            principal,
            claims: token.claims,
            atMs: now.getTime(),
            provenance: basisOf(issuer, token.claims),
          });
          const verdict = verdictOn({ idToken, principal, publicKeyHash, now });
          return { principal, sealed: { verdict, mac: seals.seal("hsm", verdict) }, provenance };
        } catch (thrown) {
          if (!(thrown instanceof Malformed)) throw thrown;
          throw new Failure("identity-rejected", thrown.message, { cause: thrown });
        }
      },
      listIssuers: async () => ({
        issuers: [...issuers.values()].map(({ config: { issuerUrl, audience }, provider }) => ({
          issuerUrl,
          audience,
          challengeClaim: provider.challenge,
          issuerType: provider.type,
        })),
      }),
    },
    /** One dead issuer does not make the plugin unwell, because the others' users are served; all of them dead does. */
    health() {
      const failing = [...issuers.values()].map(({ keys }) => keys.failingSince());
      const [since = null] = failing;
      if (since === null || failing.includes(null)) return { status: "ok" };
      return { status: "degraded", reason: "no issuer's keys can be fetched", since };
    },
  };
});

/** Identity's word for the vault: whose the token is, and which key it is for. */
function verdictOn({
  idToken,
  principal,
  publicKeyHash,
  now,
}: {
  readonly idToken: string;
  readonly principal: Principal;
  readonly publicKeyHash: Uint8Array;
  readonly now: Date;
}): Uint8Array {
  const tokenDigest = createHash("sha256").update(encodeUtf8(idToken)).digest();
  const verifiedAtMs = BigInt(now.getTime());
  const nonce = randomBytes(nonceBytes);
  return encodeVerdict({ principal, tokenDigest, publicKeyHash, verifiedAtMs, nonce });
}

/** On what a verdict about the issuer's token rests, before the policy has decided. */
function basisOf({ provider, mappingSha256 }: Issuer, claims: UnverifiedToken["claims"]) {
  const assurance = readAssurance(claims);
  return { provider: provider.type, providerVersion, mappingSha256, assurance, facets: [] };
}

/** @throws {Malformed} unless a key of the issuer verifies the token. @throws {Failure} `issuer-unavailable`. */
async function verifySignature(
  idToken: string,
  token: UnverifiedToken,
  keys: IssuerKeys,
): Promise<void> {
  const { algorithm, keyId } = token;
  const key = await keys.find(keyId, algorithm);
  if (key === null) throw new Malformed("id token: signed by a key the issuer does not have");
  try {
    await compactVerify(idToken, key, { algorithms: [algorithm] });
  } catch (thrown) {
    if (!(thrown instanceof errors.JOSEError)) throw thrown;
    throw new Malformed("id token: the signature does not verify", { cause: thrown });
  }
}

/** The provider an issuer's configuration names, with what that provider needs. */
function providerFor({ issuerUrl, provider: type, subjectDomain }: IssuerConfig): Provider {
  const provider = providers.find((one) => one.type === type);
  if (provider === undefined) {
    const known = providers.map((one) => one.type).join(", ");
    throw new Malformed(`issuer ${issuerUrl}: there is no provider "${type}"; known are ${known}`);
  }
  const bound = provider.subjectDomain === true;
  if (bound !== (subjectDomain !== undefined)) {
    const must = bound ? "needs" : "takes no";
    throw new Malformed(`issuer ${issuerUrl}: provider "${type}" ${must} subjectDomain`);
  }
  if (subjectDomain !== undefined && !related(issuerUrl, subjectDomain)) {
    throw new Malformed(`issuer ${issuerUrl}: subjectDomain is of another organisation`);
  }
  return provider;
}

/** Same host, or the same last two labels: an issuer speaks for its own domain only. */
function related(issuerUrl: string, subjectDomain: string): boolean {
  const [a, b] = [new URL(issuerUrl).hostname, new URL(subjectDomain).hostname];
  const tail = (host: string) => host.split(".").slice(-2).join(".");
  return a === b || (tail(a) === tail(b) && tail(a).includes("."));
}
