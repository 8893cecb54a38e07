/** People of any issuer that says which addresses it has verified: the embedded provider, Zitadel, authentik. */
import type { Provider } from "../provider.ts";

export default {
  type: "email",
  version: 1,
  title: "People, by verified e-mail address",
  issuers: [],
  claims: { email: { type: "email", required: true, personal: true } },
  challenge: "email",
  san: { kind: "email", template: "{claims.email}" },
  uniqueBy: ["email"],
  mail: { verifiedBy: "email_verified" },
  extensions: [],
  assurance: { acr: "acr", amr: "amr", authTime: "auth_time" },
} satisfies Provider;
