/** `chancery login`. */
import { parseArguments } from "./arguments.ts";
import { findAmbientToken } from "./ambient.ts";
import { readInstance } from "./home.ts";
import { parseIdToken } from "./id-token.ts";
import { forgetToken, keepToken } from "./kept-token.ts";
import { type ExitCode, type Terminal, exitCodes, usageError } from "./terminal.ts";

const defaultAudience = "sigstore";

/** Gets an ID token and prints it, and nothing else; or keeps it for `chancery sign`. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: [],
    values: ["oidc-issuer", "client-id", "audience"],
    switches: ["device", "no-browser", "ambient", "keep", "forget", "json"],
  });
  const issuer = parsed.value("oidc-issuer") ?? `${(await readInstance(terminal)).origin}/oidc`;
  if (parsed.has("forget")) {
    await forgetToken(issuer, terminal);
    return exitCodes.ok;
  }
  if (parsed.has("ambient") && (parsed.has("device") || parsed.has("no-browser"))) {
    throw usageError("--ambient asks nobody to sign in, so --device and --no-browser mean nothing");
  }
  const audience = parsed.value("audience") ?? defaultAudience;
  const ambient = parsed.has("ambient") ? await findAmbientToken(audience, terminal) : null;
  if (parsed.has("ambient") && ambient === null) {
    throw usageError("there is no token in these surroundings: no pipeline that we know, no file");
  }
  const text = ambient?.text ?? (await signIn(parsed, issuer, terminal));
  const token = parseIdToken(text, ambient?.source ?? "what the identity provider answered");
  if (parsed.has("keep")) {
    const path = await keepToken(issuer, token.text, terminal);
    if (parsed.has("json")) terminal.print(JSON.stringify({ identity: token.challenge, path }));
    else terminal.print(`Signed in as ${token.challenge}, kept in ${path}`);
  } else terminal.print(parsed.has("json") ? JSON.stringify({ idToken: token.text }) : token.text);
  return exitCodes.ok;
}

async function signIn(
  parsed: ReturnType<typeof parseArguments>,
  issuer: string,
  terminal: Terminal,
): Promise<string> {
  // The library is loaded by those who sign in, and by nobody else.
  const { login } = await import("./login.ts");
  const asked = {
    issuer,
    clientId: parsed.value("client-id") ?? defaultAudience,
    device: parsed.has("device"),
    openBrowser: !parsed.has("no-browser"),
  };
  return await login(asked, terminal);
}
