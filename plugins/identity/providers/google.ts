/** People with a Google account. `hd` is the organisation a Workspace account belongs to; consumers have none. */
import type { Provider } from "../provider.ts";

export default {
  type: "google",
  version: 1,
  title: "Google accounts",
  issuers: [
    {
      url: "https://accounts.google.com",
      base: "https://accounts.google.com",
      jwks: "https://www.googleapis.com",
    },
  ],
  claims: {
    email: { type: "email", required: true, personal: true },
    hd: { type: "text", note: "organisation of a Workspace account" },
  },
  challenge: "email",
  san: { kind: "email", template: "{claims.email}" },
  uniqueBy: ["email"],
  mail: { verifiedBy: "email_verified" },
  extensions: [],
  assurance: { acr: "acr", amr: "amr", authTime: "auth_time" },
  facets: { organisation: "{claims.hd}" },
} satisfies Provider;
