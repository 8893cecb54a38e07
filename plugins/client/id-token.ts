/** ID tokens on their way to the certificate authority. They are secrets: nothing here puts one into a message. */
import { resolve } from "node:path";
import { join } from "node:path";
import { decodeBase64Url, decodeUtf8 } from "../../core/formats/encoding.ts";
import { type JsonValue, parseJsonBytes } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { readBounded } from "./files.ts";
import { type Instance, homeOf } from "./home.ts";
import { jsonOf, request } from "./remote.ts";
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
    if (cause instanceof Malformed) throw notAToken(cause);
    throw cause;
  }
}

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
    accept: [200],
  });
  const json = jsonOf(answer, what) as { readonly [name: string]: JsonValue } | null;
  const token = json?.["id_token"];
  if (typeof token !== "string") {
    throw new CommandError(exitCodes.failed, `${what}: the service answered without one`);
  }
  return parseIdToken(token);
}

/** @throws {CommandError} with exit code 2 if it is not a JWT with a subject. */
function parseIdToken(text: string): IdToken {
  const token = text.replace(/^\u{feff}/u, "").trim();
  if (!compact.test(token)) throw notAToken();
  const claims = claimsOf(token.split(".")[1] ?? "");
  const { email, sub } = claims;
  if (typeof email === "string" && email !== "") return { text: token, challenge: email };
  if (typeof sub === "string" && sub !== "") return { text: token, challenge: sub };
  throw usageError("the identity token has neither e-mail address nor subject");
}

function claimsOf(payload: string): { readonly [name: string]: JsonValue } {
  try {
    const claims = parseJsonBytes(decodeBase64Url(payload));
    if (claims !== null && typeof claims === "object" && !Array.isArray(claims)) {
      return claims as { readonly [name: string]: JsonValue }; // neither null nor an array: JSON's object
    }
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
  }
  throw notAToken();
}

function notAToken(cause?: unknown): CommandError {
  return new CommandError(
    exitCodes.usage,
    "--identity-token is neither an ID token (a JWT) nor a file that holds one",
    { cause },
  );
}

async function readAdminSecret(terminal: Terminal): Promise<string> {
  const path = join(homeOf(terminal), "secrets", "admin");
  const secret = decodeUtf8(await readBounded(path, "the admin secret", 1024)).trim();
  if (/^[!-~]{1,256}$/.test(secret)) return secret;
  throw environmentError(`${path} does not hold an admin secret`);
}
