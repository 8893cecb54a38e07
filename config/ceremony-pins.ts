/** PINs for a ceremony: from a file descriptor, or asked for at the terminal. */
import { CommandError, exitCodes } from "../plugins/client/commands.ts";
import { openPrompt, readDescriptor } from "./prompt.ts";

const longestPin = 255;

/**
 * The PINs of these tokens. `descriptors` is `TOKEN=NUMBER,…`; who is not in it is asked for.
 *
 * @throws {CommandError} if a descriptor cannot be read, or nobody can be asked
 */
export async function readPins(
  tokens: readonly string[],
  descriptors: string | undefined,
): Promise<{ readonly [token: string]: string }> {
  const given = new Map(descriptors?.split(",").map(descriptor));
  const unknown = [...given.keys()].find((token) => !tokens.includes(token));
  if (unknown !== undefined) {
    throw new CommandError(exitCodes.usage, `the script asks for no PIN of "${unknown}"`);
  }
  const pins: [string, string][] = [];
  for (const token of tokens) {
    const fd = given.get(token);
    pins.push([token, fd === undefined ? await ask(token) : fromDescriptor(token, fd)]);
  }
  return Object.fromEntries(pins);
}

function descriptor(text: string): [string, number] {
  const [, token, number] = /^([a-z][a-z0-9-]*)=(\d{1,4})$/.exec(text) ?? [];
  if (token === undefined) {
    throw new CommandError(exitCodes.usage, "--pin-fd is TOKEN=NUMBER, several with commas");
  }
  return [token, Number(number)];
}

function fromDescriptor(token: string, fd: number): string {
  return checked(
    token,
    readDescriptor(fd, `the PIN of "${token}" cannot be read from descriptor ${fd}`),
  );
}

function checked(token: string, pin: string): string {
  if (pin.length > 0 && pin.length <= longestPin && !/\p{Cc}/u.test(pin)) return pin;
  throw new CommandError(exitCodes.usage, `what was given as the PIN of "${token}" is none`);
}

async function ask(token: string): Promise<string> {
  using prompt = openPrompt(
    `the PIN of "${token}" is needed, but there is no terminal; give it with --pin-fd ${token}=NUMBER`,
  );
  return checked(token, await prompt.ask(`PIN of the token "${token}": `, "no PIN was given"));
}
