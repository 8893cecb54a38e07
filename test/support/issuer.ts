/** An OIDC issuer for tests: real keys, real tokens, and answers that a test can make hostile. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { once } from "node:events";
import { CompactSign, exportJWK, generateKeyPair } from "jose";

/** A signing key of the issuer. */
export interface IssuerKey {
  readonly alg: string;
  readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];
  /** Public members, with `kid`, `alg` and `use`. */
  readonly jwk: { readonly [member: string]: unknown };
}

/** Makes a key. */
export async function issuerKey(alg = "RS256", kid = "key-1"): Promise<IssuerKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

/** Signs whatever a test claims. */
export async function signToken(
  key: IssuerKey,
  claims: object | string,
  header: { readonly [name: string]: unknown } = {},
): Promise<string> {
  const payload = new TextEncoder().encode(
    typeof claims === "string" ? claims : JSON.stringify(claims),
  );
  return await new CompactSign(payload)
    .setProtectedHeader({ alg: key.alg, kid: String(key.jwk["kid"]), ...header })
    .sign(key.privateKey);
}

/** A server on 127.0.0.1 that counts what it is asked. */
export interface TestServer extends AsyncDisposable {
  readonly origin: string;
  readonly requests: string[];
}

/** Serves with `answer` on a free port. */
export async function serveLoopback(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<TestServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? "");
    answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    origin: `http://127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
