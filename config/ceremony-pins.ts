/** PINs for a ceremony: from a file descriptor, or asked for at the terminal without echo. Never from an argument or the environment. */
import { openSync, readFileSync } from "node:fs";
import { ReadStream } from "node:tty";
import { CommandError, exitCodes } from "../plugins/client/commands.ts";

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
  try {
    return checked(token, readFileSync(fd, "utf8").replace(/\r?\n$/, ""));
  } catch (cause) {
    if (cause instanceof CommandError) throw cause;
    const message = `the PIN of "${token}" cannot be read from descriptor ${fd}`;
    throw new CommandError(exitCodes.environment, message, { cause });
  }
}

function checked(token: string, pin: string): string {
  if (pin.length > 0 && pin.length <= longestPin && !/\p{Cc}/u.test(pin)) return pin;
  throw new CommandError(exitCodes.usage, `what was given as the PIN of "${token}" is none`);
}

async function ask(token: string): Promise<string> {
  using terminal = openTerminal(token);
  process.stderr.write(`PIN of the token "${token}": `);
  let pin = "";
  for await (const chunk of terminal.stream) {
    for (const key of String(chunk)) {
      if (key === "\u0003") throw new CommandError(exitCodes.failed, "no PIN was given");
      if (key === "\r" || key === "\n") {
        process.stderr.write("\n");
        return checked(token, pin);
      }
      pin = key === "\u007f" ? pin.slice(0, -1) : pin + key;
    }
  }
  throw new CommandError(exitCodes.environment, "the terminal went away");
}

function openTerminal(token: string): { readonly stream: ReadStream } & Disposable {
  try {
    const stream = new ReadStream(openSync("/dev/tty", "r"));
    stream.setRawMode(true);
    return {
      stream,
      [Symbol.dispose]: () => {
        stream.setRawMode(false);
        stream.destroy();
      },
    };
  } catch (cause) {
    throw new CommandError(
      exitCodes.environment,
      `the PIN of "${token}" is needed, but there is no terminal; give it with --pin-fd ${token}=NUMBER`,
      { cause },
    );
  }
}
