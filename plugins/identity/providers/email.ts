/** People: the certificate names a verified e-mail address. Google, Dex, Keycloak, Entra, and the embedded provider. */
import type { Provider } from "../provider.ts";

export default {
  type: "email",
  challenge: "email",
  san: { kind: "email", template: "email" },
  emailVerified: true,
  required: ["email"],
  extensions: [],
} satisfies Provider;
