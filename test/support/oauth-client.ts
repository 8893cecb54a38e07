/** The code flow as Sigstore's own clients go through it: cosign and gitsign in Go, sigstore-python. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A client that waits for its code. */
export interface WaitingClient extends AsyncDisposable {
  /** What the user's browser is to open. */
  readonly url: string;
  readonly state: string;
  readonly nonce: string;
  /** Parameters that the browser brought back. */
  readonly answer: Promise<URLSearchParams>;
  /** Redeems the code, as the named client would. */
  redeem(as: "cosign" | "python", code: string): Promise<{ status: number; body: TokenAnswer }>;
}

/** RFC 6749 §5. */
export interface TokenAnswer {
  readonly id_token?: string;
  readonly refresh_token?: string;
  readonly error?: string;
}

/** Listens on a free loopback port and makes the URL to begin with. */
export async function startClient(
  issuer: string,
  { path = "/auth/callback", host = "localhost" } = {},
): Promise<WaitingClient> {
  const { promise: answer, resolve } = Promise.withResolvers<URLSearchParams>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    response.end("<!doctype html><title>You may close this</title>");
    if (url.pathname === path) resolve(url.searchParams);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // listening on a port, so the address is one
  const redirectUri = `http://${host}:${port}${path}`;
  const [verifier, state, nonce] = [secret(), secret(), secret()];
  const query = new URLSearchParams({
    response_type: "code",
    client_id: "sigstore",
    redirect_uri: redirectUri,
    scope: "openid email",
    state,
    nonce,
    access_type: "online",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  return {
    url: `${issuer}/auth?${query.toString()}`,
    state,
    nonce,
    answer,
    async redeem(as, code) {
      const form = new URLSearchParams({
        grant_type: "authorization_code",
        code,
        redirect_uri: redirectUri,
        code_verifier: verifier,
        ...(as === "cosign" && { client_id: "sigstore" }),
      });
      // sigstore-python names itself with Basic credentials that have an empty secret.
      const basic = { authorization: `Basic ${Buffer.from("sigstore:").toString("base64")}` };
      return await post(`${issuer}/token`, form, as === "python" ? basic : {});
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Posts a form and reads JSON. */
export async function post<T = TokenAnswer>(
  url: string,
  form: URLSearchParams,
  headers: { readonly [name: string]: string } = {},
): Promise<{ status: number; body: T }> {
  const answer = await fetch(url, { method: "POST", body: form, headers });
  return { status: answer.status, body: (await answer.json()) as T };
}

function secret(): string {
  return randomBytes(32).toString("base64url");
}
