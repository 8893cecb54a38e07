/**
 * Signing in at another OpenID provider: the authorization code flow with PKCE, state and nonce, the exact issuer, a signature that
 * its keys verify, and an e-mail address that it says is verified. What comes of it is ours to say again, and says whose word it is.
 */
import { createHash } from "node:crypto";
import * as oauth from "openid-client";
import type { Journal } from "../../core/journal.ts";
import type { OutboundFetch } from "../../core/fetch.ts";
import { isEmailAddress } from "../../core/formats/email.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { endpoints } from "./discovery.ts";
import type { Upstream } from "./manifest.ts";
import type { Person } from "./people.ts";

/** What the broker needs. */
export interface BrokerParts {
  /** Our own issuer. */
  readonly issuer: string;
  readonly upstream: Upstream;
  readonly clientSecret: string | null;
  readonly fetch: OutboundFetch;
  readonly journal: Journal;
  readonly nowMs: () => number;
}

/** How a sign-in at the other provider ended. */
export type BrokerOutcome =
  { readonly person: Person; readonly amr: readonly string[] } | { readonly problem: string };

/** Another provider. */
export interface Broker {
  /** Where to send the browser of an interaction; null if the other provider cannot be asked now. */
  begin(uid: string): Promise<string | null>;
  /** The interaction that a `state` was made for; null if there is none. */
  interactionOf(state: string): string | null;
  /** Redeems what the browser brought back. Each beginning ends once. */
  finish(uid: string, answer: URLSearchParams): Promise<BrokerOutcome>;
}

interface Pending {
  readonly uid: string;
  readonly verifier: string;
  readonly nonce: string;
  readonly endsAtMs: number;
}

/** Sign-ins under way; the oldest is given up first. */
const maxPending = 2_000;
const pendingMs = 600_000;
/** How long what the provider says of itself is believed. */
const discoveryMs = 600_000;

/** Makes the broker. It asks nobody before the first sign-in. */
export function createBroker(parts: BrokerParts): Broker {
  const { issuer, upstream, journal, nowMs } = parts;
  const redirectUri = `${issuer}${endpoints.upstreamCallback}`;
  const pending = new Map<string, Pending>();
  let found: { readonly configuration: oauth.Configuration; readonly untilMs: number } | null =
    null;
  const configured = async (): Promise<oauth.Configuration> => {
    if (found === null || found.untilMs < nowMs()) {
      found = { configuration: await discover(parts), untilMs: nowMs() + discoveryMs };
    }
    return found.configuration;
  };
  const problem = (why: string, cause?: unknown): BrokerOutcome => {
    const reason = cause instanceof Error ? cause.message : why;
    journal.warn("sign-in-refused", { upstream: upstream.issuer, reason });
    return { problem: why };
  };
  return {
    async begin(uid) {
      const configuration = await configured().catch((cause: unknown) => {
        problem("not reachable", cause);
        return null;
      });
      if (configuration === null) return null;
      const [verifier, state, nonce] = [
        oauth.randomPKCECodeVerifier(),
        oauth.randomState(),
        oauth.randomNonce(),
      ];
      pending.set(state, { uid, verifier, nonce, endsAtMs: nowMs() + pendingMs });
      const [oldest] = pending.size > maxPending ? pending.keys() : [];
      if (oldest !== undefined) pending.delete(oldest);
      return oauth.buildAuthorizationUrl(configuration, {
        redirect_uri: redirectUri,
        scope: upstream.scope,
        state,
        nonce,
        code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
        code_challenge_method: "S256",
      }).href;
    },
    interactionOf: (state) => pending.get(state)?.uid ?? null,
    async finish(uid, answer) {
      const state = answer.get("state") ?? "";
      const begun = pending.get(state);
      if (begun?.uid !== uid) return problem("This sign-in has expired. Try again.");
      pending.delete(state);
      if (begun.endsAtMs < nowMs()) return problem("This sign-in has expired. Try again.");
      if (answer.has("error")) return problem(`${upstream.name} did not sign you in.`);
      try {
        const address = new URL(`${redirectUri}?${answer.toString()}`);
        const claims = await redeem(await configured(), address, { state, ...begun });
        return judge(parts, claims) ?? problem(unverified(upstream));
      } catch (cause) {
        return problem(`${upstream.name} gave an answer that cannot be trusted.`, cause);
      }
    },
  };
}

/** The claims of the ID token that the code is good for. @throws if anything about it is not as it was asked for */
async function redeem(
  configuration: oauth.Configuration,
  address: URL,
  { state, nonce, verifier }: Pending & { readonly state: string },
): Promise<oauth.IDToken | undefined> {
  const tokens = await oauth.authorizationCodeGrant(configuration, address, {
    expectedState: state,
    expectedNonce: nonce,
    pkceCodeVerifier: verifier,
    idTokenExpected: true,
  });
  return tokens.claims();
}

/** Null if the token does not speak of a verified address. */
function judge(
  { upstream, journal }: BrokerParts,
  claims: oauth.IDToken | undefined,
): BrokerOutcome | null {
  const email = claims?.["email"];
  if (claims === undefined || typeof email !== "string" || !isEmailAddress(email)) return null;
  // True and nothing else: some providers say "true", and some of those mean nothing by it.
  if (claims["email_verified"] !== true) return null;
  const connector = upstream.connectorId ?? upstream.issuer;
  const id = `upstream:${createHash("sha256")
    .update(encodeUtf8(JSON.stringify([upstream.issuer, claims.sub])))
    .digest("base64url")}`;
  journal.info("signed-in", { subject: id, upstream: upstream.issuer });
  const amr = claims["amr"];
  return {
    person: {
      id,
      email,
      claims: {
        email,
        email_verified: true,
        federated_claims: { connector_id: connector, user_id: claims.sub },
      },
    },
    amr: Array.isArray(amr) ? amr.filter((one) => typeof one === "string") : [],
  };
}

function unverified({ name }: Upstream): string {
  return `${name} does not say that your e-mail address is verified. Ask its administrator.`;
}

async function discover({
  upstream,
  clientSecret,
  fetch,
}: BrokerParts): Promise<oauth.Configuration> {
  const configuration = await oauth.discovery(
    new URL(upstream.issuer),
    upstream.clientId,
    { id_token_signed_response_alg: "RS256" },
    clientSecret === null ? oauth.None() : withSecret(clientSecret),
    {
      [oauth.customFetch]: guarded(fetch, upstream),
      // Whether plain http is allowed is the guarded client's to say: to loopback, if the configuration says so.
      execute: [oauth.enableNonRepudiationChecks, oauth.allowInsecureRequests],
    },
  );
  const { issuer, token_endpoint: tokens, jwks_uri: keys } = configuration.serverMetadata();
  if (issuer !== upstream.issuer) {
    throw new Error("the upstream provider calls itself by another name");
  }
  for (const url of [tokens, keys]) if (url !== undefined) requireConfigured(url, upstream);
  return configuration;
}

/**
 * What the provider says of itself must not choose whom we ask, and who gets the client's secret.
 *
 * @throws unless the address is of an origin that the configuration names.
 */
function requireConfigured(url: string, { issuer, origins }: Upstream): void {
  const origin = URL.canParse(url) ? new URL(url).origin : "no address";
  if (origin === new URL(issuer).origin || origins.includes(origin)) return;
  throw new Error(
    `the upstream provider names ${origin}, which is not its own origin: if it is right, add it to idp.upstream.origins`,
  );
}

/** In the form where the provider takes that: of Basic credentials not all know how they are escaped (RFC 6749 §2.3.1). */
function withSecret(secret: string): oauth.ClientAuth {
  const [form, basic] = [oauth.ClientSecretPost(secret), oauth.ClientSecretBasic(secret)];
  return (server, client, body, headers) => {
    const takesForm = server.token_endpoint_auth_methods_supported?.includes("client_secret_post");
    return (takesForm === true ? form : basic)(server, client, body, headers);
  };
}

/** The guarded outbound client as the library calls one. */
function guarded(fetch: OutboundFetch, upstream: Upstream): oauth.CustomFetch {
  return async (url, { method, headers, body }) => {
    requireConfigured(url, upstream);
    const post =
      method === "POST"
        ? {
            body: body instanceof URLSearchParams ? body.toString() : "",
            authorization: new Headers(headers).get("authorization"),
          }
        : null;
    const answer = await fetch(url, post === null ? {} : { post });
    return new Response(Buffer.from(answer.body), {
      status: answer.status,
      headers: { "content-type": answer.contentType },
    });
  };
}
