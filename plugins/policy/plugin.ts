/** Answers whether an identity may have a certificate: the rate limits first, which cost nothing, then the rules. */
import { enforce } from "./in-force.ts";
import { createLimits } from "./limits.ts";
import { policy } from "./manifest.ts";

export default policy.implement(async (context) => {
  const inForce = await enforce(context);
  const limit = createLimits(context.config.limits, () => performance.now());
  return {
    handlers: {
      // No asynchronous function: it is done for every certificate, and there is nothing to wait for.
      decide(request) {
        const { decide, version: policyVersion, sha256: policySha256 } = inForce.now();
        const policy = { policyVersion, policySha256 };
        const early = limit(request.principal);
        if (early !== null) return Promise.resolve({ allowed: false, ...early, ...policy });
        const { allowed, rule, reason } = decide(request);
        return Promise.resolve({ allowed: allowed === true, rule, reason, ...policy });
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
