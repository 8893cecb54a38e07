/** The identity room as tests boot it: one issuer, made up of documents, and a vault to vouch to. */
import type { OutboundFetch } from "../../core/fetch.ts";
import { definePlugin } from "../../core/plugin.ts";
import { authenticate } from "../../events/identity.ts";
import identity from "../../plugins/identity/plugin.ts";
import policy from "../../plugins/policy/plugin.ts";
import * as v from "valibot";
import { expect } from "vitest";
import { bootForTest } from "./boot.ts";

/** The issuer that {@link bootIdentity} accepts. */
export const issuerUrl = "https://idp.example/oidc";
/** When tests of identity take place. */
export const nowMs = Date.UTC(2026, 5, 1);
/** The same in seconds. */
export const now = nowMs / 1_000;
/** What verdicts are bound to. */
export const publicKeyHash = new Uint8Array(32).fill(7);

/** The vault, to whom identity vouches. */
const vault = definePlugin({
  name: "hsm",
  summary: "stands in for the vault",
  config: v.strictObject({}),
  offers: [],
  needs: [],
  emits: [],
  follows: [],
  reaches: [],
}).implement(async () => await Promise.resolve({ handlers: {} }));

/** Good claims but for `changes`. */
export function claims(changes: object = {}): object {
  return {
    iss: issuerUrl,
    sub: "subject-1",
    aud: "sigstore",
    iat: now - 10,
    exp: now + 600,
    email: "user@example.com",
    email_verified: true,
    ...changes,
  };
}

/** An issuer that serves `documents` by URL, and counts. */
export function issuer(jwks: unknown, discovery: object = {}) {
  const fetched: string[] = [];
  const state = { jwks, maxAgeSeconds: null as number | null, down: false };
  const fetch: OutboundFetch = async (url) => {
    fetched.push(url);
    await Promise.resolve();
    if (state.down) throw new Error("down");
    const document = url.endsWith("/.well-known/openid-configuration")
      ? { issuer: issuerUrl, jwks_uri: `${issuerUrl}/jwks`, ...discovery }
      : state.jwks;
    const body = new TextEncoder().encode(
      typeof document === "string" ? document : JSON.stringify(document),
    );
    return {
      status: 200,
      contentType: "application/json",
      body,
      maxAgeSeconds: state.maxAgeSeconds,
    };
  };
  return { fetch, fetched, state };
}

/** A section of the configuration in place of the one issuer, and the home its files are in. */
interface OwnSection {
  readonly home?: string;
  readonly section?: { readonly issuers?: readonly object[] };
  /** The section of the policy. */
  readonly rules?: object;
}

/** Boots identity with that issuer and a clock that tests move; `config` is added to the issuer, or to each of a section's own. */
export async function bootIdentity(
  { fetch }: { fetch: OutboundFetch },
  config: object = {},
  { home, section, rules = {} }: OwnSection = {},
) {
  const issuers = section?.issuers ?? [{ issuerUrl, provider: "email" }];
  const clock = { at: nowMs, now: () => new Date(clock.at) };
  const installation = await bootForTest({
    entries: [identity, policy, vault],
    config: {
      identity: { ...section, issuers: issuers.map((one) => ({ ...one, ...config })) },
      hsm: {},
      policy: rules,
    },
    ...(home !== undefined && { home }),
    fetch,
    clock,
  });
  const present = async (idToken: string) =>
    await installation.ask(authenticate, { idToken, publicKeyHash });
  return {
    installation,
    clock,
    present,
    [Symbol.asyncDispose]: async () => await installation.dispose(),
  };
}

/** Asserts that the token is refused as the caller's fault. */
export async function refuse(
  token: string | Promise<string>,
  present: (token: string) => Promise<unknown>,
) {
  await expect(present(await token)).rejects.toMatchObject({ code: "identity-rejected" });
}
