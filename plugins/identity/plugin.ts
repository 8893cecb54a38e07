/** Verifies an ID token against its issuer's keys and gives its principal, with a verdict sealed for the vault. */
import { createHash, randomBytes, randomInt } from "node:crypto";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { encodeVerdict } from "../../core/formats/verdict.ts";
import { StartRefused } from "../../core/plugin.ts";
import { Failure } from "../../events/failure.ts";
import { requireDecision } from "./decision.ts";
import { createIssuers, type Issuers } from "./issuers.ts";
import { createKeyRings } from "./key-rings.ts";
import { loadIdentity, type LoadedIdentity } from "./loading.ts";
import { identity } from "./manifest.ts";
import { createUseOnce } from "./one-time.ts";
import { createVerifier } from "./verifier.ts";

const nonceBytes = 16;

type Context = Parameters<Parameters<typeof identity.implement>[0]>[0];

export default identity.implement(async (context) => {
  const { ask, config, clock, seals, stores, journal } = context;
  const { configs, files, issuers } = await accept(config, context.home, journal);
  const rings = createKeyRings({ ...context, jitter: () => randomInt(1_000) / 1_000 }, files);
  // Everything there is to be met is met now, so that health knows of those nobody has asked for yet.
  for (const { config: one } of issuers.configured) {
    const issuer = issuers.find(one.issuerUrl);
    if (issuer !== null) rings.of(issuer);
  }
  const once = configs.some(({ oneTime }) => oneTime);
  const verify = createVerifier({
    issuers,
    keysOf: rings.of,
    clock,
    skewSeconds: config.skewSeconds,
    useOnce: once ? createUseOnce(await stores.open("tokens")) : null,
  });

  return {
    handlers: {
      async authenticate({ idToken, publicKeyHash }) {
        try {
          const { principal, assurance, facets, issuer, claims } = await verify(idToken);
          const now = clock.now();
          const provenance = await requireDecision(ask, {
            principal,
            claims,
            atMs: now.getTime(),
            provenance: { ...issuer.recorded, assurance, facets },
          });
          const verdict = encodeVerdict({
            principal,
            tokenDigest: createHash("sha256").update(encodeUtf8(idToken)).digest(),
            publicKeyHash,
            verifiedAtMs: BigInt(now.getTime()),
            nonce: randomBytes(nonceBytes),
            provenance,
          });
          return { principal, provenance, sealed: { verdict, mac: seals.seal("hsm", verdict) } };
        } catch (thrown) {
          if (!(thrown instanceof Malformed)) throw thrown;
          throw new Failure("identity-rejected", thrown.message, { cause: thrown });
        }
      },
      listIssuers: async () => ({ issuers: issuers.configured.map(listed) }),
    },
    /** One dead issuer does not make the plugin unwell, because the others' users are served; all of them dead does. */
    health() {
      const since = rings.failingSince();
      if (since === null) return { status: "ok" };
      return { status: "degraded", reason: "no issuer's keys can be fetched", since };
    },
  };
});

/** What is configured. A file that has changed is for an operator to look at, not for another try. @throws {StartRefused} */
async function accept(
  config: Context["config"],
  home: () => string,
  journal: Context["journal"],
): Promise<{ readonly issuers: Issuers } & Pick<LoadedIdentity, "configs" | "files">> {
  try {
    const { configs, providers, files, warnings } = await loadIdentity(config, home);
    for (const warning of warnings) journal.warn("configuration", { warning });
    return { configs, files, issuers: createIssuers(configs, providers) };
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    throw new StartRefused(thrown.message, { cause: thrown });
  }
}

/** An issuer as clients are told of it. */
function listed({ config, provider }: Issuers["configured"][number]) {
  const issuerUrl = config.issuerUrl.replaceAll(/\{[a-z0-9_]*\}/g, "*");
  return {
    issuerUrl,
    ...(issuerUrl !== config.issuerUrl && { wildcardIssuerUrl: issuerUrl }),
    audience: config.audience,
    challengeClaim: config.challenge ?? (provider.challenge === "email" ? "email" : "sub"),
    issuerType: provider.type,
  };
}
