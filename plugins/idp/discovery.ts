/** OpenID Connect Discovery 1.0 §3, saying only what works here. */
import { demoGrant } from "../../events/idp.ts";

/** The discovery document of `issuer`. */
export function discoveryDocument(issuer: string): { readonly [member: string]: unknown } {
  return {
    issuer,
    jwks_uri: `${issuer}/jwks`,
    token_endpoint: `${issuer}/token`,
    token_endpoint_auth_methods_supported: ["none"],
    grant_types_supported: [demoGrant],
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["RS256"],
    code_challenge_methods_supported: ["S256"],
    scopes_supported: ["openid", "email"],
    claims_supported: [
      "iss",
      "sub",
      "aud",
      "exp",
      "iat",
      "email",
      "email_verified",
      "demo_account",
    ],
    "x-chancery-demo-accounts": true,
  };
}
