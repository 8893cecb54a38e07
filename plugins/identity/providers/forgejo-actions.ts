/**
 * Forgejo Actions: `https://HOST/api/actions`, with GitHub's names of claims where it has them. A called workflow has no reference of its
 * own there, so the certificate names the workflow that was started. Gitea's tokens are others: `gitea-actions`.
 */
import type { Provider } from "../provider.ts";

export default {
  type: "forgejo-actions",
  version: 3,
  title: "Forgejo Actions",
  issuers: [
    { url: "https://{host}/api/actions", base: "https://{host}" },
    { url: "https://{host}/{prefix}/api/actions", base: "https://{host}/{prefix}" },
  ],
  claims: {
    workflow_ref: { type: "path", required: true },
    workflow: { type: "text" },
    workflow_sha: { type: "text" },
    repository: { type: "text", required: true },
    repository_id: { type: "text", immutable: true },
    repository_owner: { type: "text", required: true },
    repository_owner_id: { type: "text", immutable: true },
    repository_visibility: { type: "text" },
    sha: { type: "text", required: true },
    ref: { type: "text", required: true },
    event_name: { type: "text", required: true },
    run_number: {
      type: "text",
      note: "the number in the address of the run's page, unlike run_id",
    },
    runner_environment: { type: "text", default: "self-hosted" },
    actor: { type: "text", personal: true },
  },
  challenge: "sub",
  san: { kind: "uri", template: "{base}/{claims.workflow_ref}" },
  uniqueBy: ["workflow_ref"],
  extensions: [
    { arc: 9, template: "{base}/{claims.workflow_ref}" },
    { arc: 10, template: "{claims.workflow_sha}" },
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
    { arc: 21, template: "{base}/{claims.repository}/actions/runs/{claims.run_number}" },
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
