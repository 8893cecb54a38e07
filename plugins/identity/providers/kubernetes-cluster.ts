/** Kubernetes service accounts with the cluster in the name: two clusters never give one name. */
import type { Provider } from "../provider.ts";

export default {
  type: "kubernetes-cluster",
  version: 1,
  title: "Kubernetes service accounts, by cluster",
  issuers: [],
  needs: ["cluster"],
  claims: {
    namespace: { at: ["kubernetes.io", "namespace"], type: "word", required: true },
    service_account: {
      at: ["kubernetes.io", "serviceaccount", "name"],
      type: "word",
      required: true,
    },
    service_account_uid: {
      at: ["kubernetes.io", "serviceaccount", "uid"],
      type: "text",
      immutable: true,
    },
    pod: { at: ["kubernetes.io", "pod", "name"], type: "text" },
    sub: {
      type: "text",
      required: true,
      startsWith: "system:serviceaccount:",
    },
  },
  challenge: "sub",
  san: {
    kind: "uri",
    template:
      "https://kubernetes.io/clusters/{config.cluster}/namespaces/{claims.namespace}/serviceaccounts/{claims.service_account}",
  },
  uniqueBy: ["namespace", "service_account"],
  extensions: [],
  facets: {
    cluster: "{config.cluster}",
    namespace: "{claims.namespace}",
    account: "{claims.service_account}",
    pod: "{claims.pod}",
  },
  tokenSources: [{ kind: "file", path: "/var/run/sigstore/cosign/oidc-token" }],
} satisfies Provider;
