/**
 * People of one Microsoft Entra tenant. Entra has no `email_verified`, and an address there can be changed to anybody's: it counts
 * if `xms_edov` says that its domain's owner was verified, or if the operator answers for it with `trustMail` and `mailDomains`.
 */
import type { Provider } from "../provider.ts";

export default {
  type: "entra",
  version: 1,
  title: "Microsoft Entra, one tenant",
  issuers: [
    {
      url: "https://login.microsoftonline.com/{tenant}/v2.0",
      base: "https://login.microsoftonline.com/{tenant}",
    },
    {
      url: "https://sts.windows.net/{tenant}/",
      base: "https://sts.windows.net/{tenant}",
      jwks: "https://login.microsoftonline.com",
    },
  ],
  claims: {
    email: { type: "email", required: true, personal: true },
    tid: { type: "text", required: true, immutable: true, equals: "{iss.tenant}" },
    oid: { type: "text", required: true, immutable: true, personal: true },
  },
  challenge: "email",
  san: { kind: "email", template: "{claims.email}" },
  uniqueBy: ["email"],
  mail: { verifiedBy: "xms_edov" },
  extensions: [],
  assurance: { acr: "acrs", amr: "amr", authTime: "auth_time" },
  facets: { tenant: "{claims.tid}", person: "{claims.oid}" },
} satisfies Provider;
