/** Users without an address: the certificate names `user!domain` in Fulcio's form of otherName. */
import type { Provider } from "../provider.ts";

export default {
  type: "username",
  version: 1,
  title: "User names of a domain",
  issuers: [],
  needs: ["subjectDomain"],
  claims: { sub: { type: "text", required: true, personal: true, without: ["!", "@"] } },
  challenge: "sub",
  san: { kind: "otherName", template: "{claims.sub}!{config.subjectDomain}" },
  uniqueBy: ["sub"],
  extensions: [],
  assurance: { acr: "acr", amr: "amr", authTime: "auth_time" },
} satisfies Provider;
