/** Another OpenID provider: it signs everybody in without a word, and lies if it is told to. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { exportJWK, generateKeyPair, SignJWT } from "jose";

/** What it says, and how it lies. */
export interface Behaviour {
  claims: { [name: string]: unknown };
  /** Instead of its own name. */
  issuer?: string;
  /** In its discovery document alone. */
  announced?: string;
  /** Members of its discovery document, in place of its own. */
  document?: { readonly [member: string]: string };
  audience?: string;
  nonce?: string;
  /** Signs with a key that is not in its key set. */
  foreignKey?: boolean;
  /** An OAuth error instead of a code. */
  error?: string;
}

/** A running issuer. */
export interface UpstreamIssuer extends AsyncDisposable {
  readonly issuer: string;
  readonly behaviour: Behaviour;
  /** Paths asked for. */
  readonly seen: string[];
  /** Where its sign-in would lead the browser, given where the browser was sent. */
  signIn(location: string): Promise<string>;
}

/** Signs the token for what the flow began with. */
type Sign = (begun: URLSearchParams) => Promise<string>;

const code = "upstream-code";

/** Starts one on a free loopback port; its client is `chancery` with the secret `upstream-secret`. */
export async function startUpstream(): Promise<UpstreamIssuer> {
  const behaviour: Behaviour = {
    claims: { sub: "user-1", email: "grace@example.com", email_verified: true },
  };
  const seen: string[] = [];
  let issuer = "";
  let begun = new URLSearchParams();
  const { jwk, sign } = await signing(behaviour, () => issuer);
  const answer = async (request: IncomingMessage): Promise<[number, object]> => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    seen.push(path);
    if (path === "/.well-known/openid-configuration") {
      const document = { ...documentOf(issuer), ...behaviour.document };
      return [200, { ...document, issuer: behaviour.announced ?? issuer }];
    }
    if (path === "/jwks") return [200, { keys: [jwk] }];
    return path === "/token" ? await redeem(request, begun, sign) : [404, {}];
  };
  const server = createServer((request, response) => {
    void answer(request).then(([status, body]) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // it listens on a port
  issuer = `http://127.0.0.1:${port}`;
  return {
    issuer,
    behaviour,
    seen,
    async signIn(location) {
      const asked = new URL(location);
      begun = asked.searchParams;
      const missing = ["state", "nonce", "code_challenge"].filter((name) => !begun.has(name));
      if (asked.origin !== issuer || asked.pathname !== "/authorize" || missing.length > 0) {
        throw new Error(`not a request of ours: ${missing.join()}`);
      }
      const back = new URL(begun.get("redirect_uri") ?? "");
      back.searchParams.set("state", begun.get("state") ?? "");
      if (behaviour.error === undefined) back.searchParams.set("code", code);
      else back.searchParams.set("error", behaviour.error);
      return await Promise.resolve(`${back.pathname}${back.search}`);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Its key, and one that it does not show. */
async function signing(behaviour: Behaviour, issuer: () => string) {
  const [own, foreign] = [await generateKeyPair("RS256"), await generateKeyPair("RS256")];
  const jwk = { ...(await exportJWK(own.publicKey)), kid: "up", alg: "RS256", use: "sig" };
  const sign: Sign = async (begun) => {
    const nonce = behaviour.nonce ?? begun.get("nonce");
    return await new SignJWT({ ...behaviour.claims, nonce })
      .setProtectedHeader({ alg: "RS256", kid: "up" })
      .setIssuer(behaviour.issuer ?? issuer())
      .setAudience(behaviour.audience ?? "chancery")
      .setIssuedAt()
      .setExpirationTime("5m")
      .sign((behaviour.foreignKey === true ? foreign : own).privateKey);
  };
  return { jwk, sign };
}

async function redeem(
  request: IncomingMessage,
  begun: URLSearchParams,
  sign: Sign,
): Promise<[number, object]> {
  const form = new URLSearchParams(await text(request));
  const challenge = createHash("sha256")
    .update(form.get("code_verifier") ?? "")
    .digest("base64url");
  // RFC 6749 §2.3.1: each half is escaped before they are joined.
  const encoded = /^Basic (.+)$/.exec(request.headers.authorization ?? "")?.[1] ?? "";
  const credentials = decodeURIComponent(Buffer.from(encoded, "base64").toString());
  const good =
    request.method === "POST" &&
    form.get("grant_type") === "authorization_code" &&
    form.get("code") === code &&
    form.get("redirect_uri") === begun.get("redirect_uri") &&
    challenge === begun.get("code_challenge") &&
    credentials === "chancery:upstream-secret";
  if (!good) return [400, { error: "invalid_grant" }];
  const idToken = await sign(begun);
  return [200, { access_token: "a", token_type: "Bearer", expires_in: 60, id_token: idToken }];
}

function documentOf(issuer: string) {
  return {
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    code_challenge_methods_supported: ["S256"],
    id_token_signing_alg_values_supported: ["RS256"],
  };
}
