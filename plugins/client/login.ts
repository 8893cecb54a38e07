/**
 * Signing in: in the browser of this machine (authorization code with PKCE, state and nonce: RFC 7636, RFC 8252, OpenID Connect Core
 * §3.1), or of another (RFC 8628). What the user must do is said on standard error, so that standard output holds the token alone.
 */
import { execFile } from "node:child_process";
import * as oauth from "openid-client";
import { listenForCode } from "./loopback.ts";
import { CommandError, environmentError, exitCodes, type Terminal } from "./terminal.ts";

/** Where and as whom to sign in. */
export interface LoginRequest {
  readonly issuer: string;
  readonly clientId: string;
  /** True to sign in with another device. */
  readonly device: boolean;
  /** False only prints where to go. */
  readonly openBrowser: boolean;
}

const browserDeadlineMs = 300_000;
const scope = "openid email";

/** Signs in and answers the ID token. @throws {CommandError} */
export async function login(asked: LoginRequest, terminal: Terminal): Promise<string> {
  const configuration = await discover(asked);
  try {
    const tokens = asked.device
      ? await byDevice(configuration, terminal)
      : await byBrowser(configuration, asked, terminal);
    if (tokens.id_token !== undefined) return tokens.id_token;
  } catch (cause) {
    if (cause instanceof CommandError) throw cause;
    throw new CommandError(exitCodes.failed, `you were not signed in: ${wordFault(cause)}`, {
      cause,
    });
  }
  throw new CommandError(exitCodes.failed, "the identity provider answered without an ID token");
}

async function discover({ issuer, clientId }: LoginRequest): Promise<oauth.Configuration> {
  const url = URL.parse(issuer);
  if (url === null) throw environmentError(`"${issuer}" is not the URL of an identity provider`);
  const loopback = url.protocol === "http:" && ["localhost", "127.0.0.1"].includes(url.hostname);
  try {
    return await oauth.discovery(url, clientId, {}, oauth.None(), {
      execute: [
        oauth.enableNonRepudiationChecks,
        ...(loopback ? [oauth.allowInsecureRequests] : []),
      ],
    });
  } catch (cause) {
    throw environmentError(
      `the identity provider ${issuer} cannot be asked: ${wordFault(cause)}`,
      cause,
    );
  }
}

async function byBrowser(
  configuration: oauth.Configuration,
  { openBrowser }: LoginRequest,
  terminal: Terminal,
): Promise<{ readonly id_token?: string }> {
  const [verifier, state, nonce] = [
    oauth.randomPKCECodeVerifier(),
    oauth.randomState(),
    oauth.randomNonce(),
  ];
  await using loopback = await listenForCode(state);
  const url = oauth.buildAuthorizationUrl(configuration, {
    redirect_uri: loopback.redirectUri,
    scope,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  terminal.complain(`Sign in with your browser:\n\n  ${url.href}\n`);
  if (openBrowser) openInBrowser(url.href, terminal);
  const answer = await before(browserDeadlineMs, loopback.answer);
  return await oauth.authorizationCodeGrant(configuration, answer, {
    expectedState: state,
    expectedNonce: nonce,
    pkceCodeVerifier: verifier,
    idTokenExpected: true,
  });
}

async function byDevice(
  configuration: oauth.Configuration,
  terminal: Terminal,
): Promise<{ readonly id_token?: string }> {
  const begun = await oauth.initiateDeviceAuthorization(configuration, { scope });
  terminal.complain(
    `On any device, open\n\n  ${begun.verification_uri}\n\nand type the code\n\n  ${begun.user_code}\n`,
  );
  return await oauth.pollDeviceAuthorizationGrant(configuration, begun);
}

/** Whether there is a browser shows when one opens; the address has been printed already. */
function openInBrowser(url: string, { environment }: Terminal): void {
  const program = process.platform === "darwin" ? "open" : "xdg-open";
  const child = execFile(program, [url], { env: { ...environment } }, () => undefined);
  child.unref();
}

async function before<T>(deadlineMs: number, work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(environmentError(`nobody signed in within ${deadlineMs / 60_000} minutes`)),
    deadlineMs,
  );
  using cleanup = new DisposableStack();
  cleanup.defer(() => clearTimeout(timer));
  return await Promise.race([work, late]);
}

/** The library's errors say in `error` what the provider said, and in `code` what it found itself. */
function wordFault(cause: unknown): string {
  if (!(cause instanceof Error)) return "unknown error";
  const { error, error_description: description } = cause as {
    readonly error?: unknown;
    readonly error_description?: unknown;
  };
  const said = typeof description === "string" ? description : error;
  const reason = typeof said === "string" ? said : cause.message;
  return reason.replace(/\p{Cc}/gu, " ").slice(0, 300);
}
