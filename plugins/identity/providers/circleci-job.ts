/**
 * CircleCI: the certificate names the project and the pipeline's definition by their ids. Rendered as Fulcio renders it, with two
 * quotation marks for a runner environment that is not an SSH rerun and the double slash in the run's address.
 */
import type { Provider } from "../provider.ts";

export default {
  type: "circleci-job",
  version: 1,
  title: "CircleCI",
  issuers: [
    { url: "https://oidc.circleci.com", base: "https://app.circleci.com" },
    { url: "https://oidc.circleci.com/org/{organization}", base: "https://app.circleci.com" },
  ],
  constants: { api_url: "https://circleci.com/api/v2", platform_url: "https://app.circleci.com/" },
  claims: {
    project_id: {
      at: ["oidc.circleci.com/project-id"],
      type: "word",
      required: true,
      immutable: true,
    },
    pipeline_definition_id: {
      at: ["oidc.circleci.com/pipeline-definition-id"],
      type: "word",
      required: true,
      immutable: true,
    },
    pipeline_id: { at: ["oidc.circleci.com/pipeline-id"], type: "text", required: true },
    workflow_id: { at: ["oidc.circleci.com/workflow-id"], type: "text", required: true },
    job_id: { at: ["oidc.circleci.com/job-id"], type: "text", required: true },
    ssh_rerun: { at: ["oidc.circleci.com/ssh-rerun"], type: "flag", required: true },
    vcs_ref: { at: ["oidc.circleci.com/vcs-ref"], type: "text", required: true },
    vcs_origin: { at: ["oidc.circleci.com/vcs-origin"], type: "text", required: true },
    org_id: { at: ["oidc.circleci.com/org-id"], type: "text", immutable: true },
  },
  choices: {
    runner: { of: "{claims.ssh_rerun}", cases: { true: "ssh-rerun" }, otherwise: '""' },
  },
  challenge: "sub",
  san: {
    kind: "uri",
    template:
      "{const.api_url}/projects/{claims.project_id}/pipeline-definitions/{claims.pipeline_definition_id}",
  },
  uniqueBy: ["project_id", "pipeline_definition_id"],
  extensions: [
    {
      arc: 9,
      template:
        "{const.api_url}/projects/{claims.project_id}/pipeline-definitions/{claims.pipeline_definition_id}",
    },
    { arc: 11, template: "{choice.runner}" },
    { arc: 12, template: "{claims.vcs_origin}" },
    { arc: 14, template: "{claims.vcs_ref}" },
    { arc: 18, template: "{const.api_url}/pipeline/{claims.pipeline_id}/config" },
    {
      arc: 21,
      template: "{const.platform_url}/workflow/{claims.workflow_id}/job/{claims.job_id}",
    },
  ],
  facets: { project: "{claims.project_id}", repository: "{claims.vcs_origin}" },
  tokenSources: [
    { kind: "environment", variable: "CIRCLE_OIDC_TOKEN_V2" },
    { kind: "environment", variable: "SIGSTORE_ID_TOKEN" },
  ],
} satisfies Provider;
