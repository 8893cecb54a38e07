/** `chancery token`. */
import { parseArguments, required } from "./arguments.ts";
import { readInstance } from "./home.ts";
import { requestDemoToken } from "./id-token.ts";
import { type ExitCode, type Terminal, exitCodes } from "./terminal.ts";

/** Prints an ID token of a demo account, and nothing else. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: [], values: ["email"], switches: ["json"] });
  const email = required(parsed, "email");
  const instance = await readInstance(terminal);
  const { text } = await requestDemoToken(email, instance, terminal);
  terminal.print(parsed.has("json") ? JSON.stringify({ idToken: text }) : text);
  return exitCodes.ok;
}
