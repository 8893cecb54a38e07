/** Buddy, whose three regions are issuers of their own: the certificate names the pipeline. */
import type { Provider } from "../provider.ts";

export default {
  type: "buddy-pipeline",
  version: 1,
  title: "Buddy",
  issuers: [
    { url: "https://oidc.buddyusercontent.com", base: "https://app.buddy.works" },
    { url: "https://eu-oidc.buddyusercontent.com", base: "https://eu.buddy.works" },
    { url: "https://asia-oidc.buddyusercontent.com", base: "https://asia.buddy.works" },
  ],
  claims: {
    workspace_domain: { type: "word", required: true },
    project_name: { type: "word", required: true },
    pipeline_id: { type: "word", required: true, immutable: true },
    execution_id: { type: "text", required: true },
    revision: { type: "text", note: "absent where an execution has none" },
    ref: { type: "text" },
  },
  challenge: "sub",
  san: {
    kind: "uri",
    template:
      "{base}/{claims.workspace_domain}/{claims.project_name}/pipelines/pipeline/{claims.pipeline_id}",
  },
  uniqueBy: ["workspace_domain", "project_name", "pipeline_id"],
  extensions: [
    {
      arc: 9,
      template:
        "{base}/{claims.workspace_domain}/{claims.project_name}/pipelines/pipeline/{claims.pipeline_id}",
    },
    { arc: 13, template: "{claims.revision}" },
    { arc: 14, template: "{claims.ref}" },
    {
      arc: 21,
      template:
        "{base}/{claims.workspace_domain}/{claims.project_name}/pipelines/pipeline/{claims.pipeline_id}/execution/{claims.execution_id}",
    },
  ],
  facets: { workspace: "{claims.workspace_domain}", project: "{claims.project_name}" },
  tokenSources: [{ kind: "environment", variable: "SIGSTORE_ID_TOKEN" }],
} satisfies Provider;
