/** Buildkite: the certificate names the pipeline. */
import type { Provider } from "../provider.ts";

export default {
  type: "buildkite-job",
  version: 1,
  title: "Buildkite",
  issuers: [{ url: "https://agent.buildkite.com", base: "https://buildkite.com" }],
  claims: {
    organization_slug: { type: "word", required: true },
    pipeline_slug: { type: "word", required: true },
    build_number: { type: "text", required: true },
    job_id: { type: "text", required: true },
    runner_environment: { type: "text", required: true },
    build_commit: { type: "text", required: true },
    build_source: { type: "text", required: true },
    organization_id: { type: "text", immutable: true },
    pipeline_id: { type: "text", immutable: true },
  },
  challenge: "sub",
  san: { kind: "uri", template: "{base}/{claims.organization_slug}/{claims.pipeline_slug}" },
  uniqueBy: ["organization_slug", "pipeline_slug"],
  extensions: [
    { arc: 11, template: "{claims.runner_environment}" },
    { arc: 13, template: "{claims.build_commit}" },
    { arc: 20, template: "{claims.build_source}" },
    {
      arc: 21,
      template:
        "{base}/{claims.organization_slug}/{claims.pipeline_slug}/builds/{claims.build_number}#{claims.job_id}",
    },
  ],
  facets: {
    organisation: "{claims.organization_slug}",
    pipeline: "{claims.pipeline_slug}",
    runner: "{claims.runner_environment}",
  },
  tokenSources: [
    {
      kind: "request",
      method: "POST",
      url: "$BUILDKITE_AGENT_ENDPOINT/jobs/$BUILDKITE_JOB_ID/oidc/tokens",
      bearer: "$BUILDKITE_AGENT_ACCESS_TOKEN",
      audience: { in: "json", name: "audience" },
      answer: "token",
    },
  ],
} satisfies Provider;
