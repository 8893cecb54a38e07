/** People of an Okta organisation: its own authorisation server or a custom one, on Okta's domains or the organisation's. */
import type { Provider } from "../provider.ts";

export default {
  type: "okta",
  version: 1,
  title: "Okta",
  issuers: [
    { url: "https://{host}", base: "https://{host}" },
    { url: "https://{host}/oauth2/{server}", base: "https://{host}" },
  ],
  claims: { email: { type: "email", required: true, personal: true } },
  challenge: "email",
  san: { kind: "email", template: "{claims.email}" },
  uniqueBy: ["email"],
  mail: { verifiedBy: "email_verified" },
  extensions: [],
  assurance: { acr: "acr", amr: "amr", authTime: "auth_time" },
} satisfies Provider;
