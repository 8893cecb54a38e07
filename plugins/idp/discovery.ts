/** OpenID Connect Discovery 1.0 §3 and RFC 8414 §2, saying only what works here. */
import { demoGrant } from "../../events/idp.ts";

/** RFC 8628 §3.4. */
export const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code";

/** Where the endpoints are, below the issuer. */
export const endpoints = {
  authorization: "/auth",
  token: "/token",
  jwks: "/jwks",
  device: "/device",
  deviceAuthorization: "/device/auth",
  endSession: "/session/end",
  interaction: "/interaction",
  /** Where the upstream provider sends people back to. */
  upstreamCallback: "/upstream/callback",
} as const;

/** Claims that a token may have. */
export const claimNames = [
  "sub",
  "email",
  "email_verified",
  "federated_claims",
  "demo_account",
] as const;

/** The discovery document of `issuer`. */
export function discoveryDocument(
  issuer: string,
  demo: boolean,
): { readonly [member: string]: unknown } {
  return {
    issuer,
    authorization_endpoint: `${issuer}${endpoints.authorization}`,
    token_endpoint: `${issuer}${endpoints.token}`,
    device_authorization_endpoint: `${issuer}${endpoints.deviceAuthorization}`,
    end_session_endpoint: `${issuer}${endpoints.endSession}`,
    jwks_uri: `${issuer}${endpoints.jwks}`,
    token_endpoint_auth_methods_supported: ["none"],
    grant_types_supported: ["authorization_code", deviceGrant, ...(demo ? [demoGrant] : [])],
    response_types_supported: ["code"],
    response_modes_supported: ["query"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["RS256"],
    code_challenge_methods_supported: ["S256"],
    authorization_response_iss_parameter_supported: true,
    claims_parameter_supported: false,
    request_parameter_supported: false,
    request_uri_parameter_supported: false,
    scopes_supported: ["openid", "email"],
    claims_supported: ["iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", ...claimNames],
    "x-chancery-demo-accounts": demo,
  };
}
