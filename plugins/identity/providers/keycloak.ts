/** People of a Keycloak realm. Let the realm demand verified addresses, and not only import them. */
import type { Provider } from "../provider.ts";

export default {
  type: "keycloak",
  version: 1,
  title: "Keycloak realm",
  issuers: [
    { url: "https://{host}/realms/{realm}", base: "https://{host}" },
    { url: "https://{host}/auth/realms/{realm}", base: "https://{host}" },
  ],
  claims: {
    email: { type: "email", required: true, personal: true },
    preferred_username: { type: "text", personal: true },
  },
  challenge: "email",
  san: { kind: "email", template: "{claims.email}" },
  uniqueBy: ["email"],
  mail: { verifiedBy: "email_verified" },
  extensions: [],
  assurance: { acr: "acr", amr: "amr", authTime: "auth_time" },
  facets: { realm: "{iss.realm}", account: "{claims.preferred_username}" },
} satisfies Provider;
