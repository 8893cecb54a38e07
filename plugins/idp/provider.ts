/**
 * The OpenID provider itself: `oidc-provider` with one public client, the authorization code flow with PKCE (RFC 7636, RFC 8252),
 * the device flow (RFC 8628), and nothing else. Loaded with the first sign-in: who never signs in here does not pay for it.
 */
import { randomBytes } from "node:crypto";
import Provider, { type ProviderContext } from "oidc-provider";
import type { Journal } from "../../core/journal.ts";
import { claimNames, deviceGrant, endpoints } from "./discovery.ts";
import type { IdpConfig } from "./manifest.ts";
import { createMemory } from "./memory.ts";
import { Html, type Page } from "./page.ts";
import {
  continuePage,
  deviceConfirmPage,
  devicePage,
  donePage,
  errorPage,
  type Setting,
  signOutPage,
} from "./pages.ts";
import type { People } from "./people.ts";
import type { Middleware } from "./polling.ts";
import type { RefusedSignIn } from "./refusals.ts";
import { type SignClaims, VaultKey } from "./vault-key.ts";

/** What the provider is made of. */
export interface ProviderParts {
  readonly config: IdpConfig;
  readonly setting: Setting;
  readonly people: People;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly signClaims: SignClaims;
  readonly journal: Journal;
  readonly nowMs: () => number;
  /** Takes refusals down for the record. */
  readonly refused: (refusal: RefusedSignIn) => void;
}

/** The one client: every Sigstore client goes by this name, and none has a secret. */
export const clientId = "sigstore";
/** What people read. */
export const clientName = "Sigstore client (sigstore)";
/** RFC 8252 §7.3: any port of these. The paths are those that Sigstore clients listen at. */
const loopbackHosts = ["localhost", "127.0.0.1", "[::1]"];
const callbackPaths = ["/auth/callback", "/Callback", "/callback", "/", ""];
const codeSeconds = 60;
const interactionSeconds = 600;

/** Makes the provider. */
export function createProvider(parts: ProviderParts): Provider {
  const { config, journal } = parts;
  const provider = new Provider(config.issuer, {
    ...identity(parts),
    ...lifetimes(config),
    adapter: createMemory(parts.nowMs),
    cookies: cookies(config.issuer),
    features: features(parts),
    routes: {
      authorization: endpoints.authorization,
      token: endpoints.token,
      jwks: endpoints.jwks,
      code_verification: endpoints.device,
      device_authorization: endpoints.deviceAuthorization,
      end_session: endpoints.endSession,
    },
    interactions: {
      url: (_context: unknown, { uid }: { readonly uid: string }) =>
        `${new URL(config.issuer).pathname}${endpoints.interaction}/${uid}`,
    },
    renderError: (context: ProviderContext, out: { readonly error_description?: string }) =>
      show(context, errorPage(parts.setting, out.error_description ?? "The request is not valid.")),
  });
  // What the request came over is said by us, in headers that are never a client's (plugins/idp/server.ts).
  provider.proxy = true;
  provider.use(withoutScripts(parts.setting));
  provider.on("server_error", (_context, error) => {
    journal.error("sign-in-failed", { cause: error instanceof Error ? error.stack : "unknown" });
  });
  provider.on("error", () => undefined);
  for (const [event, what] of refusing) {
    provider.on(event, (...[context, error]) =>
      countProtocolRefusal(parts, what, context as ProviderContext, error),
    ); // the library's own, of these events
  }
  return provider;
}

/** What clients are refused by the protocol, and how records call it. */
const refusing = [
  ["authorization.error", "authorization request"],
  ["grant.error", "token request"],
  ["device_authorization.error", "device authorization request"],
] as const;
/** No refusals: the device has to wait; and those by people, who were counted when they said no. */
const nothingNew: readonly unknown[] = ["authorization_pending", "slow_down", "access_denied"];

function countProtocolRefusal(
  { refused }: ProviderParts,
  what: string,
  { ip }: ProviderContext,
  error: unknown,
): void {
  const { error: word } = error as { readonly error?: unknown }; // an error of the library's
  if (nothingNew.includes(word)) return;
  // RFC 6749 §4.1.2.1 and §5.2: from a closed set of the library's.
  const reason = `${what}: ${typeof word === "string" ? word : "refused"}`;
  refused({ code: "access-denied", reason, from: { address: ip } });
}

/** Who we are, who asks, and whom we speak of. */
function identity({ people, publicKey, signClaims }: ProviderParts) {
  const redirectUris = loopbackHosts.flatMap((host) =>
    callbackPaths.map((path) => `http://${host}${path}`),
  );
  return {
    jwks: { keys: [new VaultKey(publicKey, signClaims)] },
    clients: [
      {
        client_id: clientId,
        client_name: clientName,
        application_type: "native",
        token_endpoint_auth_method: "none",
        grant_types: ["authorization_code", deviceGrant],
        response_types: ["code"],
        response_modes: ["query"],
        id_token_signed_response_alg: "RS256",
        require_auth_time: true,
        redirect_uris: redirectUris,
      },
    ],
    clientAuthMethods: ["none"],
    responseTypes: ["code"],
    scopes: ["openid"],
    // The ID token is all that a client gets, so it says what userinfo would.
    conformIdTokenClaims: false,
    claims: {
      auth_time: null,
      iss: null,
      openid: claimNames.filter((name) => !name.startsWith("email")),
      email: ["email", "email_verified"],
    },
    enabledJWA: { idTokenSigningAlgValues: ["RS256"] },
    pkce: { required: () => true },
    clientBasedCORS: () => false,
    findAccount: async (_context: unknown, id: string) => {
      const person = await people.find(id);
      return person === null
        ? undefined
        : { accountId: id, claims: () => ({ sub: id, ...person.claims }) };
    },
    // Every token is agreed to anew: what was agreed to before is not looked at.
    loadExistingGrant: async ({ oidc }: ProviderContext) => {
      const grantId = oidc.result?.consent?.grantId;
      return grantId === undefined ? undefined : await oidc.provider.Grant.find(grantId);
    },
  };
}

function lifetimes(config: IdpConfig) {
  return {
    ttl: {
      AccessToken: () => codeSeconds,
      AuthorizationCode: () => codeSeconds,
      DeviceCode: () => interactionSeconds,
      Grant: () => interactionSeconds,
      IdToken: () => config.tokenLifetimeSeconds,
      Interaction: () => interactionSeconds,
      Session: () => config.sessionLifetimeSeconds,
    },
    clockTolerance: 5,
    expiresWithSession: () => true,
  };
}

/** For this path alone, never for scripts, only over TLS if the origin has it, and of no use after a restart. */
function cookies(issuer: string) {
  const { protocol, pathname } = new URL(issuer);
  const strict = { httpOnly: true, sameSite: "lax", secure: protocol === "https:", signed: true };
  return {
    names: {
      session: "chancery_session",
      interaction: "chancery_interaction",
      resume: "chancery_resume",
    },
    long: { ...strict, path: pathname },
    short: strict,
    keys: [randomBytes(32).toString("hex")],
  };
}

function features(parts: ProviderParts) {
  const { setting } = parts;
  const off = { enabled: false };
  return {
    devInteractions: off,
    dPoP: off,
    pushedAuthorizationRequests: off,
    resourceIndicators: off,
    userinfo: off,
    externalSigningSupport: { enabled: true, ack: "experimental-01" },
    deviceFlow: { enabled: true, charset: "base-20", mask: "****-****", ...devicePages(parts) },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (context: ProviderContext) =>
        show(context, signOutPage(setting, formOf(context, "end_session_confirm"))),
      postLogoutSuccessSource: (context: ProviderContext) =>
        show(context, donePage(setting, "You are signed out", "You can close this page.")),
    },
  };
}

/** RFC 8628 §3.3. Kept of the device: nothing. */
function devicePages({ people, refused, setting }: ProviderParts) {
  return {
    deviceInfo: () => ({}),
    userCodeInputSource: async (
      context: ProviderContext,
      _form: string,
      _out: unknown,
      error?: { readonly name: string },
    ) => {
      const form = formOf(context, "code_verification");
      const problem = error === undefined ? undefined : wordDeviceError(error.name);
      show(context, devicePage(setting, form, { problem, code: context.state.userCode }));
      const reason = deviceRefusals[error?.name ?? ""];
      if (reason === undefined) return;
      const account = (await people.find(context.oidc.session?.accountId ?? ""))?.email;
      refused({ code: "access-denied", reason, account, from: { address: context.ip } });
    },
    userCodeConfirmSource: (...[context, , client, , code]: DeviceConfirmation) => {
      const form = formOf(context, "code_verification");
      const name = client.clientName ?? client.clientId;
      show(context, deviceConfirmPage(setting, form, { client: name, code }));
    },
    successSource: (context: ProviderContext) =>
      show(
        context,
        donePage(setting, "Your device is connected", "Go back to it. You can close this page."),
      ),
  };
}

/** Context, a form of the library's, client, device, user code. */
type DeviceConfirmation = readonly [
  ProviderContext,
  string,
  { readonly clientName?: string; readonly clientId: string },
  unknown,
  string,
];

/** Of the library's errors at the page for codes, those that are refusals. */
const deviceRefusals: { readonly [name: string]: string } = {
  AbortedError: "a person stopped the device's sign-in",
  NotFoundError: "there is no such device code",
  ExpiredError: "the device code has expired",
  AlreadyUsedError: "the device code was used already",
  InvalidRequest: "the form of the device page did not come from it",
};

function wordDeviceError(name: string): string {
  switch (name) {
    case "NoCodeError":
      return "Type the code that the other device shows.";
    case "AbortedError":
      return "You stopped it. The other device gets nothing.";
    case "ExpiredError":
    case "AlreadyUsedError":
      return "The code is not valid any more. Start again on the other device.";
    default:
      return "There is no such code. Compare it with the other device.";
  }
}

function formOf({ oidc }: ProviderContext, route: string) {
  return { action: oidc.urlFor(route), xsrf: oidc.session?.state?.secret ?? "" };
}

/** The library has scripts send some forms on. Here people do, or the page says what is the case. */
function withoutScripts(setting: Setting): Middleware {
  return async (context, next) => {
    await next();
    const { body } = context;
    if (typeof body !== "string" || !body.includes("<script>")) return;
    if (context.path === endpoints.endSession) {
      show(context, donePage(setting, "You are not signed in", "You can close this page."));
      return;
    }
    const [, action = ""] = /<form method="post" action="([^"]*)">/.exec(body) ?? [];
    // Escaped by the library, as attributes are.
    const fields = [...body.matchAll(/<input type="hidden" [^>]*\/>/g)].map(([field]) => field);
    show(context, continuePage(setting, unescapeAttribute(action), new Html(fields.join(""))));
  };
}

function unescapeAttribute(text: string): string {
  return text.replaceAll("&amp;", "&");
}

function show(context: ProviderContext, page: Page): void {
  context.set(page.headers);
  context.body = page.html;
}
