/** Passwords for accounts: from a file descriptor, or asked for twice at the terminal. */
import { CommandError, exitCodes } from "../plugins/client/commands.ts";
import { openPrompt, readDescriptor } from "./prompt.ts";

/**
 * A new password for `email`.
 *
 * @throws {CommandError} if the descriptor cannot be read, nobody can be asked, or what was typed differs
 */
export async function readPassword(email: string, descriptor: string | undefined): Promise<string> {
  if (descriptor !== undefined) return fromDescriptor(descriptor);
  using prompt = openPrompt(
    "a password is needed, but there is no terminal; give it with --password-fd NUMBER",
  );
  const none = "no password was given";
  const password = await prompt.ask(`Password of ${email}: `, none);
  if (password === (await prompt.ask("The same again: ", none))) return password;
  throw new CommandError(exitCodes.usage, "the two passwords differ");
}

function fromDescriptor(descriptor: string): string {
  if (!/^\d{1,4}$/.test(descriptor)) {
    throw new CommandError(exitCodes.usage, "--password-fd is the number of a file descriptor");
  }
  const unreadable = `the password cannot be read from descriptor ${descriptor}`;
  return readDescriptor(Number(descriptor), unreadable);
}
