/** Machines whose subject is a URI below a domain the issuer answers for. */
import type { Provider } from "../provider.ts";

export default {
  type: "uri",
  version: 1,
  title: "Subjects that are URIs of a domain",
  issuers: [],
  needs: ["subjectDomain"],
  claims: { sub: { type: "uri", required: true, within: "{config.subjectDomain}" } },
  challenge: "sub",
  san: { kind: "uri", template: "{claims.sub}" },
  uniqueBy: ["sub"],
  extensions: [],
} satisfies Provider;
