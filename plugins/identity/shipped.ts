/** The providers of this tree: one file each in `providers/`. */
import type { Provider } from "./provider.ts";
import buddyPipeline from "./providers/buddy-pipeline.ts";
import buildkiteJob from "./providers/buildkite-job.ts";
import chainguardIdentity from "./providers/chainguard-identity.ts";
import ciProvider from "./providers/ci-provider.ts";
import circleciJob from "./providers/circleci-job.ts";
import codefreshWorkflow from "./providers/codefresh-workflow.ts";
import dex from "./providers/dex.ts";
import email from "./providers/email.ts";
import entra from "./providers/entra.ts";
import forgejoActions from "./providers/forgejo-actions.ts";
import giteaActions from "./providers/gitea-actions.ts";
import githubWorkflow from "./providers/github-workflow.ts";
import gitlabPipeline from "./providers/gitlab-pipeline.ts";
import google from "./providers/google.ts";
import jenkins from "./providers/jenkins.ts";
import keycloak from "./providers/keycloak.ts";
import kubernetes from "./providers/kubernetes.ts";
import kubernetesCluster from "./providers/kubernetes-cluster.ts";
import okta from "./providers/okta.ts";
import spiffe from "./providers/spiffe.ts";
import uri from "./providers/uri.ts";
import username from "./providers/username.ts";

/** In the order in which the documentation lists them: people, machines, pipelines. */
export const shippedProviders: readonly Provider[] = [
  email,
  google,
  dex,
  entra,
  okta,
  keycloak,
  username,
  uri,
  spiffe,
  kubernetes,
  kubernetesCluster,
  githubWorkflow,
  gitlabPipeline,
  forgejoActions,
  giteaActions,
  buildkiteJob,
  codefreshWorkflow,
  circleciJob,
  buddyPipeline,
  jenkins,
  chainguardIdentity,
  ciProvider,
];
