/** Verifies an ID token against its issuer's keys and gives its principal, with a verdict sealed for the vault. */
import { sha256 } from "../../core/crypto/hash.ts";
import { randomPool } from "../../core/crypto/random.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { encodeVerdict } from "../../core/formats/verdict.ts";
import { Failure } from "../../events/failure.ts";
import { requireDecision } from "./decision.ts";
import { enforce } from "./in-force.ts";
import type { Issuers } from "./issuers.ts";
import { identity } from "./manifest.ts";
import { createUseOnce } from "./one-time.ts";

const nonceBytes = 16;

export default identity.implement(async (context) => {
  const { ask, clock, config, seals, stores } = context;
  const random = randomPool();
  const once = config.issuers.some(({ oneTime }) => oneTime);
  const inForce = await enforce(context, once ? createUseOnce(await stores.open("tokens")) : null);

  return {
    handlers: {
      async authenticate({ idToken, publicKeyHash }) {
        try {
          const { principal, assurance, facets, issuer, claims } = await inForce
            .now()
            .verify(idToken);
          const now = clock.now();
          const provenance = await requireDecision(ask, {
            principal,
            claims,
            atMs: now.getTime(),
            provenance: { ...issuer.recorded, assurance, facets },
          });
          const verdict = encodeVerdict({
            principal,
            tokenDigest: sha256(encodeUtf8(idToken)),
            publicKeyHash,
            verifiedAtMs: BigInt(now.getTime()),
            nonce: random(nonceBytes),
            provenance,
          });
          return { principal, provenance, sealed: { verdict, mac: seals.seal("hsm", verdict) } };
        } catch (thrown) {
          if (!(thrown instanceof Malformed)) throw thrown;
          throw new Failure("identity-rejected", thrown.message, { cause: thrown });
        }
      },
      listIssuers: async () => ({ issuers: inForce.now().issuers.configured.map(listed) }),
    },
    /** One dead issuer does not make the plugin unwell, because the others' users are served; all of them dead does. */
    health() {
      const trouble = inForce.trouble();
      if (trouble !== null) return { status: "degraded", ...trouble };
      const since = inForce.now().rings.failingSince();
      if (since === null) return { status: "ok" };
      return { status: "degraded", reason: "no issuer's keys can be fetched", since };
    },
    async [Symbol.asyncDispose]() {
      await Promise.resolve();
      inForce[Symbol.dispose]();
    },
  };
});

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
