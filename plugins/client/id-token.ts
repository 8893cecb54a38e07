/** ID tokens on their way to the certificate authority. They are secrets: nothing here puts one into a message. */
import { resolve } from "node:path";
import { join } from "node:path";
import { decodeBase64Url, decodeUtf8 } from "../../core/formats/encoding.ts";
import { type JsonValue, parseJsonBytes } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { findAmbientToken } from "./ambient.ts";
import { readBounded } from "./files.ts";
import { type Instance, homeOf } from "./home.ts";
import { readKeptToken } from "./kept-token.ts";
import { jsonOf, request, type WilledRefusal } from "./remote.ts";
import {
  CommandError,
  type Terminal,
  environmentError,
  exitCodes,
  usageError,
} from "./terminal.ts";

/** What a signer must know of its token. The service verifies it; here it is only read. */
export interface IdToken {
  readonly text: string;
  /** What the proof of possession is over: the e-mail address if the token has one, else the subject. */
  readonly challenge: string;
  /** Infinity if it does not say. */
  readonly expiresAtMs: number;
}

const compact = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const maxTokenBytes = 65_536;

/**
 * The token that `given` is or names: the token itself, `-` for standard input, or a file. White space around it and a byte order
 * mark do not matter.
 *
 * @throws {CommandError} with exit code 3 if the file cannot be read, 2 if what is found is not an ID token.
 */
export async function readIdToken(given: string, terminal: Terminal): Promise<IdToken> {
  if (compact.test(given.trim())) return parseIdToken(given);
  const bytes =
    given === "-"
      ? await terminal.readInput()
      : await readBounded(resolve(terminal.folder, given), "the identity token", maxTokenBytes);
  try {
    return parseIdToken(decodeUtf8(bytes));
  } catch (cause) {
    if (cause instanceof Malformed) throw notAToken("--identity-token", cause);
    throw cause;
  }
}

/** What the embedded provider answers if there is no such demo account. */
export const refusedSignIn: WilledRefusal = {
  status: 400,
  says: "invalid_grant",
  reason: "sign-in-refused",
};

/** Gets a token for a demo account, with the home's admin secret. @throws {CommandError} */
export async function requestDemoToken(
  email: string,
  instance: Instance,
  terminal: Terminal,
): Promise<IdToken> {
  const what = "the demo token";
  const answer = await request({
    method: "POST",
    url: `${instance.origin}/oidc/token`,
    headers: {
      authorization: `Bearer ${await readAdminSecret(terminal)}`,
      "content-type": "application/x-www-form-urlencoded",
    },
    body: new URLSearchParams({
      grant_type: "urn:chancery:params:oauth:grant-type:demo",
      email,
    }).toString(),
    what,
    // 401 is the answer to another secret.
    accept: [200, 401],
    refusals: [refusedSignIn],
  });
  if (answer.status === 401) {
    throw environmentError(
      `the admin secret in ${adminSecretPath(terminal)} is not the one that the service reads (idp.adminSecretFile in config.yaml): put the same into both, or allow no demo accounts (idp.accounts: [])`,
    );
  }
  const json = jsonOf(answer, what) as { readonly [name: string]: JsonValue } | null;
  const token = json?.["id_token"];
  if (typeof token !== "string") {
    throw new CommandError(exitCodes.failed, `${what}: the service answered without one`);
  }
  return parseIdToken(token);
}

/**
 * The token that nobody named on the command line: the surroundings', or one that `chancery login --keep` kept, or that of somebody
 * who signs in now because a terminal is there.
 *
 * @throws {CommandError} with exit code 2 if there is no way to get one.
 */
export async function chooseIdToken(instance: Instance, terminal: Terminal): Promise<IdToken> {
  const ambient = await findAmbientToken("sigstore", terminal);
  if (ambient !== null) {
    terminal.complain(`Using the identity token of ${ambient.source}`);
    return parseIdToken(ambient.text, `what ${ambient.source} offers`);
  }
  const issuer = `${instance.origin}/oidc`;
  const kept = await readKeptToken(issuer, terminal);
  const token = kept === null ? null : parseIdToken(kept);
  if (token !== null && token.expiresAtMs > Date.now() + spareMs) return token;
  if (terminal.interactive !== true) throw usageError(noToken);
  const { login } = await import("./login.ts");
  const asked = { issuer, clientId: "sigstore", device: false, openBrowser: true };
  return parseIdToken(await login(asked, terminal));
}

/** A token that ends while it is used is of no use. */
const spareMs = 15_000;
const noToken =
  "no identity token: give --identity-token TOKEN|FILE|-, sign in with chancery login --keep, or on a demo instance give --demo-email ADDRESS";

/** @throws {CommandError} with exit code 2 if it is not a JWT with a subject. */
export function parseIdToken(text: string, what = "--identity-token"): IdToken {
  const token = text.replace(/^\u{feff}/u, "").trim();
  if (!compact.test(token)) throw notAToken(what);
  const claims = claimsOf(token.split(".")[1] ?? "", what);
  const { email, sub, exp } = claims;
  const expiresAtMs = typeof exp === "number" ? exp * 1_000 : Number.POSITIVE_INFINITY;
  if (typeof email === "string" && email !== "") {
    return { text: token, challenge: email, expiresAtMs };
  }
  if (typeof sub === "string" && sub !== "") return { text: token, challenge: sub, expiresAtMs };
  throw usageError("the identity token has neither e-mail address nor subject");
}

function claimsOf(payload: string, what: string): { readonly [name: string]: JsonValue } {
  try {
    const claims = parseJsonBytes(decodeBase64Url(payload));
    if (claims !== null && typeof claims === "object" && !Array.isArray(claims)) {
      return claims as { readonly [name: string]: JsonValue }; // neither null nor an array: JSON's object
    }
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
  }
  throw notAToken(what);
}

function notAToken(what: string, cause?: unknown): CommandError {
  return new CommandError(
    exitCodes.usage,
    `${what} is neither an ID token (a JWT) nor a file that holds one`,
    { cause },
  );
}

function adminSecretPath(terminal: Terminal): string {
  return join(homeOf(terminal), "secrets", "admin");
}

async function readAdminSecret(terminal: Terminal): Promise<string> {
  const path = adminSecretPath(terminal);
  const secret = decodeUtf8(await readBounded(path, "the admin secret", 1024)).trim();
  if (/^[!-~]{1,256}$/.test(secret)) return secret;
  throw environmentError(`${path} does not hold an admin secret`);
}
