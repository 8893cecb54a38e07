/**
 * The embedded OpenID provider, below `/oidc`: its discovery document, its keys, the demo grant; all else is passed on to the
 * sign-in behind its socket.
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
import { decodeBase64, decodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { Failure } from "../../events/failure.ts";
import { demoGrant, describeProvider, issueDemoToken } from "../../events/idp.ts";
import { oauthFamily as family } from "./families.ts";
import type { PassOn } from "./pass-on.ts";
import { type Parameters, parseParameters } from "./query.ts";
import { type Answered, type Asked, json, type Put, type Route } from "./route.ts";

const maxBodyBytes = 8_192;
const tokenLifetimeSeconds = 600;
/** Short, so that a new key is seen soon; long enough that a relying party does not ask for every token. */
const caching = { "cache-control": "public, max-age=300" };
const body = { mediaType: "application/x-www-form-urlencoded", maxBytes: maxBodyBytes };

/** The routes of the provider. */
export function oidcRoutes(ask: Put, signIn: PassOn): readonly Route[] {
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
      body,
      async handle(asked) {
        const parameters = parseParameters(decodeUtf8(asked.body));
        return parameters.get("grant_type") === demoGrant
          ? await demoToken(ask, asked, parameters)
          : await signIn(asked, publicForm(asked, parameters));
      },
    },
    { method: "GET", path: "/oidc/*", family, handle: async (asked) => await signIn(asked) },
    {
      method: "POST",
      path: "/oidc/*",
      family,
      body,
      handle: async (asked) =>
        await signIn(asked, publicForm(asked, parseParameters(decodeUtf8(asked.body)))),
    },
  ];
}

async function demoToken(
  ask: Put,
  { authorization = "", network }: Asked,
  parameters: Parameters,
): Promise<Answered> {
  const email = parameters.get("email");
  if (email === undefined) throw new Malformed("oidc: not the demo grant");
  const adminSecret = /^bearer +([!-~]{1,256})$/i.exec(authorization)?.[1];
  if (adminSecret === undefined) throw new Failure("access-denied", "no admin secret");
  const audience = parameters.get("audience") ?? "sigstore";
  const { idToken } = await ask(issueDemoToken, { adminSecret, email, audience, network });
  const answer = { id_token: idToken, token_type: "Bearer", expires_in: tokenLifetimeSeconds };
  return { ...json(answer), headers: { "cache-control": "no-store" } };
}

/**
 * A client without a secret names itself in the form (RFC 6749 §3.2.1). Some send an empty secret along, in the form or as Basic
 * credentials; that says the same, so it is put the one way that the provider knows.
 *
 * @throws {Malformed} if there are other credentials
 */
function publicForm({ authorization }: Asked, parameters: Parameters): URLSearchParams {
  const form = new URLSearchParams([...parameters]);
  if (form.get("client_secret") === "") form.delete("client_secret");
  if (authorization === undefined) return form;
  const credentials = /^basic +([A-Za-z0-9+/]{1,256}={0,2})$/i.exec(authorization)?.[1] ?? "";
  const [, name] = /^([\w.-]{1,64}):$/.exec(decodeUtf8(decodeBase64(credentials))) ?? [];
  if (name === undefined) throw new Malformed("oidc: clients have no secret here");
  if (!form.has("client_id")) form.set("client_id", name);
  return form;
}

function document(text: string): Answered {
  return { status: 200, contentType: "application/json", body: text, headers: caching };
}
