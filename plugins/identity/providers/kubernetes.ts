/**
 * Kubernetes service accounts, named as Fulcio names them. Two clusters give one name to two accounts: only the issuer in the
 * certificate tells them apart. `kubernetes-cluster` puts the cluster into the name.
 */
import type { Provider } from "../provider.ts";

export default {
  type: "kubernetes",
  version: 1,
  title: "Kubernetes service accounts",
  issuers: [],
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
      "https://kubernetes.io/namespaces/{claims.namespace}/serviceaccounts/{claims.service_account}",
  },
  uniqueBy: ["namespace", "service_account"],
  extensions: [],
  facets: {
    namespace: "{claims.namespace}",
    account: "{claims.service_account}",
    pod: "{claims.pod}",
  },
  tokenSources: [{ kind: "file", path: "/var/run/sigstore/cosign/oidc-token" }],
} satisfies Provider;
