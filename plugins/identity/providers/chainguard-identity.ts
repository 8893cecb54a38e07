/** Chainguard: the certificate names the identity below its issuer. Who has an address signs that, as clients do. */
import type { Provider } from "../provider.ts";

export default {
  type: "chainguard-identity",
  version: 1,
  title: "Chainguard",
  issuers: [],
  claims: {
    sub: { type: "path", required: true, without: ["#", "//"] },
    email: { type: "email", personal: true },
  },
  challenge: "email-or-sub",
  san: { kind: "uri", template: "{iss}/{claims.sub}" },
  uniqueBy: ["sub"],
  mail: { verifiedBy: "email_verified" },
  extensions: [],
} satisfies Provider;
