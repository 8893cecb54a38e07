/** Workloads of one SPIFFE trust domain (SPIFFE ID §2): the certificate's name is the subject. */
import type { Provider } from "../provider.ts";

export default {
  type: "spiffe",
  version: 1,
  title: "SPIFFE workloads",
  issuers: [],
  needs: ["trustDomain"],
  claims: {
    sub: {
      type: "uri",
      required: true,
      startsWith: "spiffe://{config.trustDomain}/",
      without: ["?", "#", "%", "@", "//.", "/./", "/../"],
    },
  },
  challenge: "sub",
  san: { kind: "uri", template: "{claims.sub}" },
  uniqueBy: ["sub"],
  extensions: [],
  facets: { trust_domain: "{config.trustDomain}" },
  tokenSources: [{ kind: "spiffe", socket: "$SPIFFE_ENDPOINT_SOCKET" }],
} satisfies Provider;
