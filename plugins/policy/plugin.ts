/** Answers whether an identity may have a certificate: the rate limits first, which cost nothing, then the rules. */
import { enforce } from "./in-force.ts";
import { createLimits } from "./limits.ts";
import { policy } from "./manifest.ts";

export default policy.implement(async (context) => {
  const inForce = await enforce(context);
  const limit = createLimits(context.config.limits, () => performance.now());
  return {
    handlers: {
      async decide(request) {
        await Promise.resolve();
        const { decide, version: policyVersion, sha256: policySha256 } = inForce.now();
        const early = limit(request.principal);
        if (early !== null) return { allowed: false, ...early, policyVersion, policySha256 };
        const { allowed, rule, reason } = decide(request);
        return { allowed: allowed === true, rule, reason, policyVersion, policySha256 };
      },
    },
    health() {
      const trouble = inForce.trouble();
      return trouble === null ? { status: "ok" } : { status: "degraded", ...trouble };
    },
    async [Symbol.asyncDispose]() {
      await Promise.resolve();
      inForce[Symbol.dispose]();
    },
  };
});
