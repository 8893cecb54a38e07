/**
 * Jenkins with the OpenID Connect Provider plugin and its default subject, the job's address. An administrator who changes the
 * plugin's claim templates writes a provider of their own instead.
 */
import type { Provider } from "../provider.ts";

export default {
  type: "jenkins",
  version: 1,
  title: "Jenkins",
  issuers: [
    { url: "https://{host}/oidc", base: "https://{host}" },
    { url: "https://{host}/{prefix}/oidc", base: "https://{host}/{prefix}" },
  ],
  claims: {
    sub: { type: "uri", required: true, startsWith: "{base}/job/" },
    build_number: { type: "text", required: true },
  },
  challenge: "sub",
  san: { kind: "uri", template: "{claims.sub}" },
  uniqueBy: ["sub"],
  extensions: [
    { arc: 9, template: "{claims.sub}" },
    { arc: 18, template: "{claims.sub}" },
    { arc: 21, template: "{claims.sub}{claims.build_number}/" },
  ],
  facets: { job: "{claims.sub}" },
  tokenSources: [{ kind: "environment", variable: "SIGSTORE_ID_TOKEN" }],
} satisfies Provider;
