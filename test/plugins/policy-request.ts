/** A request that policies decide about in tests: a pipeline of acme, on Monday 2026-01-05 at noon UTC. */
import type { Request } from "../../plugins/policy/evaluate.ts";

/** See above. */
export const request: Request = {
  provider: "github-workflow",
  principal: {
    oidcIssuer: "https://token.example",
    subject: "repo:acme/app:ref:refs/heads/main",
    challenge: "repo:acme/app:ref:refs/heads/main",
    san: { kind: "uri", value: "https://git.example/acme/app/.ci/release.yaml@refs/heads/main" },
    extensions: [{ arc: 12, value: "https://git.example/acme/app" }],
  },
  claims: { repository_owner: "acme", groups: ["dev", "release"], run: 7, nested: { "a/b": "x" } },
  assurance: { acr: "2", amr: ["pwd", "otp"], authTimeS: 1_000_000 },
  // Monday 2026-01-05 12:00 UTC
  atMs: BigInt(Date.UTC(2026, 0, 5, 12)),
};
