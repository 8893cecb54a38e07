/**
 * The embedded OpenID provider, below `/oidc`: its discovery document, its keys, and the demo grant.
 *
 * ```
 * POST /oidc/token
 * Authorization: Bearer <content of the home's admin secret>
 * Content-Type: application/x-www-form-urlencoded
 *
 * grant_type=urn:chancery:params:oauth:grant-type:demo & email=<address> [& audience=sigstore]
 *
 * 200 {"id_token":"…","token_type":"Bearer","expires_in":600}
 * ```
 */
import { decodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { Failure } from "../../events/failure.ts";
import { demoGrant, describeProvider, issueDemoToken } from "../../events/idp.ts";
import { oauthFamily as family } from "./families.ts";
import { parseParameters } from "./query.ts";
import { type Answered, json, type Put, type Route } from "./route.ts";

const maxBodyBytes = 8_192;
const tokenLifetimeSeconds = 600;
/** Short, so that a new key is seen soon; long enough that a relying party does not ask for every token. */
const caching = { "cache-control": "public, max-age=300" };

/** The routes of the provider. */
export function oidcRoutes(ask: Put): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/oidc/.well-known/openid-configuration",
      family,
      handle: async () => document((await ask(describeProvider, {})).discovery),
    },
    {
      method: "GET",
      path: "/oidc/jwks",
      family,
      handle: async () => document((await ask(describeProvider, {})).jwks),
    },
    {
      method: "POST",
      path: "/oidc/token",
      family,
      body: { mediaType: "application/x-www-form-urlencoded", maxBytes: maxBodyBytes },
      async handle({ authorization = "", body }) {
        const form = parseParameters(decodeUtf8(body));
        const email = form.get("email");
        if (form.get("grant_type") !== demoGrant || email === undefined) {
          throw new Malformed("oidc: not the demo grant");
        }
        const adminSecret = /^bearer +([!-~]{1,256})$/i.exec(authorization)?.[1];
        if (adminSecret === undefined) throw new Failure("access-denied", "no admin secret");
        const audience = form.get("audience") ?? "sigstore";
        const { idToken } = await ask(issueDemoToken, { adminSecret, email, audience });
        const answer = {
          id_token: idToken,
          token_type: "Bearer",
          expires_in: tokenLifetimeSeconds,
        };
        return { ...json(answer), headers: { "cache-control": "no-store" } };
      },
    },
  ];
}

function document(text: string): Answered {
  return { status: 200, contentType: "application/json", body: text, headers: caching };
}
