/**
 * People behind a Dex, which signs in at other providers: the certificate names the connector as the issuer, as Fulcio does with
 * `issuer-claim: $.federated_claims.connector_id`. Say in `federates` for whom it may speak.
 */
import type { Provider } from "../provider.ts";

export default {
  type: "dex",
  version: 1,
  title: "Dex, naming the provider behind it",
  issuers: [],
  claims: {
    email: { type: "email", required: true, personal: true },
    connector_id: { at: ["federated_claims", "connector_id"], type: "text", required: true },
    user_id: {
      at: ["federated_claims", "user_id"],
      type: "text",
      immutable: true,
      personal: true,
    },
  },
  challenge: "email",
  san: { kind: "email", template: "{claims.email}" },
  uniqueBy: ["email"],
  issuer: "{claims.connector_id}",
  mail: { verifiedBy: "email_verified" },
  extensions: [],
  assurance: { acr: "acr", amr: "amr", authTime: "auth_time" },
  facets: { connector: "{claims.connector_id}" },
} satisfies Provider;
