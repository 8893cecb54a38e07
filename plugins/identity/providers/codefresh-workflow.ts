/** Codefresh: the certificate names account and pipeline, each by name and by the id that stays. */
import type { Provider } from "../provider.ts";

export default {
  type: "codefresh-workflow",
  version: 1,
  title: "Codefresh",
  issuers: [{ url: "https://oidc.codefresh.io", base: "https://g.codefresh.io" }],
  claims: {
    platform_url: { type: "origin", default: "{base}" },
    account_name: { type: "word", required: true },
    account_id: { type: "word", required: true, immutable: true },
    pipeline_name: { type: "path", required: true },
    pipeline_id: { type: "word", required: true, immutable: true },
    workflow_id: { type: "text", required: true },
    runner_environment: { type: "text" },
    scm_repo_url: { type: "text" },
    scm_ref: { type: "text" },
    initiator: { type: "text", personal: true },
  },
  challenge: "sub",
  san: {
    kind: "uri",
    template:
      "{claims.platform_url}/{claims.account_name}/{claims.pipeline_name}:{claims.account_id}/{claims.pipeline_id}",
  },
  uniqueBy: ["platform_url", "account_name", "account_id", "pipeline_name", "pipeline_id"],
  extensions: [
    { arc: 9, template: "{claims.platform_url}/build/{claims.workflow_id}" },
    { arc: 11, template: "{claims.runner_environment}" },
    { arc: 12, template: "{claims.scm_repo_url}" },
    { arc: 14, template: "{claims.scm_ref}" },
    { arc: 18, template: "{claims.platform_url}/api/pipelines/{claims.pipeline_id}" },
    { arc: 21, template: "{claims.platform_url}/build/{claims.workflow_id}" },
  ],
  facets: { account: "{claims.account_name}", pipeline: "{claims.pipeline_name}" },
  tokenSources: [{ kind: "environment", variable: "SIGSTORE_ID_TOKEN" }],
} satisfies Provider;
