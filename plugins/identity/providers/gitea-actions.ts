/**
 * Gitea Actions: `https://HOST/api/actions/oidc`, with GitHub's names of claims. As with Forgejo the certificate names the workflow that was
 * started; the build signer is the called workflow, where one was called. A run's page has `run_id` in its address, since Gitea 1.26.
 */
import type { Provider } from "../provider.ts";

export default {
  type: "gitea-actions",
  version: 1,
  title: "Gitea Actions",
  issuers: [
    { url: "https://{host}/api/actions/oidc", base: "https://{host}" },
    { url: "https://{host}/{prefix}/api/actions/oidc", base: "https://{host}/{prefix}" },
  ],
  claims: {
    workflow_ref: { type: "path", required: true },
    workflow_sha: { type: "text", required: true },
    job_workflow_ref: {
      type: "path",
      default: "{claims.workflow_ref}",
      note: "only in jobs of a workflow that was called",
    },
    job_workflow_sha: { type: "text", default: "{claims.workflow_sha}" },
    workflow: { type: "text", required: true },
    repository: { type: "text", required: true },
    repository_id: { type: "text", required: true, immutable: true },
    repository_owner: { type: "text", required: true },
    repository_owner_id: { type: "text", required: true, immutable: true },
    repository_visibility: { type: "text", required: true },
    sha: { type: "text", required: true },
    ref: { type: "text" },
    event_name: { type: "text", required: true },
    run_id: { type: "text", required: true },
    runner_environment: { type: "text", required: true },
    actor: { type: "text", personal: true },
  },
  challenge: "sub",
  san: { kind: "uri", template: "{base}/{claims.workflow_ref}" },
  uniqueBy: ["workflow_ref"],
  extensions: [
    { arc: 9, template: "{base}/{claims.job_workflow_ref}" },
    { arc: 10, template: "{claims.job_workflow_sha}" },
    { arc: 11, template: "{claims.runner_environment}" },
    { arc: 12, template: "{base}/{claims.repository}" },
    { arc: 13, template: "{claims.sha}" },
    { arc: 14, template: "{claims.ref}" },
    { arc: 15, template: "{claims.repository_id}" },
    { arc: 16, template: "{base}/{claims.repository_owner}" },
    { arc: 17, template: "{claims.repository_owner_id}" },
    { arc: 18, template: "{base}/{claims.workflow_ref}" },
    { arc: 19, template: "{claims.workflow_sha}" },
    { arc: 20, template: "{claims.event_name}" },
    { arc: 21, template: "{base}/{claims.repository}/actions/runs/{claims.run_id}" },
    { arc: 22, template: "{claims.repository_visibility}" },
  ],
  facets: {
    repository: "{claims.repository}",
    workflow: "{claims.workflow}",
    runner: "{claims.runner_environment}",
    actor: "{claims.actor}",
  },
  tokenSources: [
    {
      kind: "request",
      method: "GET",
      url: "$ACTIONS_ID_TOKEN_REQUEST_URL",
      bearer: "$ACTIONS_ID_TOKEN_REQUEST_TOKEN",
      audience: { in: "query", name: "audience" },
      answer: "value",
    },
  ],
} satisfies Provider;
