/** Passwords for accounts: from a file descriptor, or asked for twice at the terminal without echo. Never from an argument or the environment. */
import { openSync, readFileSync } from "node:fs";
import { ReadStream } from "node:tty";
import { CommandError, exitCodes } from "../plugins/client/commands.ts";

/**
 * A new password for `email`.
 *
 * @throws {CommandError} if the descriptor cannot be read, nobody can be asked, or what was typed differs
 */
export async function readPassword(email: string, descriptor: string | undefined): Promise<string> {
  if (descriptor !== undefined) return fromDescriptor(descriptor);
  using terminal = openTerminal();
  const password = await ask(terminal.stream, `Password of ${email}: `);
  if (password === (await ask(terminal.stream, "The same again: "))) return password;
  throw new CommandError(exitCodes.usage, "the two passwords differ");
}

function fromDescriptor(descriptor: string): string {
  if (!/^\d{1,4}$/.test(descriptor)) {
    throw new CommandError(exitCodes.usage, "--password-fd is the number of a file descriptor");
  }
  try {
    return readFileSync(Number(descriptor), "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    const message = `the password cannot be read from descriptor ${descriptor}`;
    throw new CommandError(exitCodes.environment, message, { cause });
  }
}

async function ask(stream: ReadStream, prompt: string): Promise<string> {
  process.stderr.write(prompt);
  let typed = "";
  for (;;) {
    const chunk = await next(stream);
    for (const key of chunk) {
      if (key === "\u0003") throw new CommandError(exitCodes.failed, "no password was given");
      if (key === "\r" || key === "\n") {
        process.stderr.write("\n");
        return typed;
      }
      typed = key === "\u007f" ? typed.slice(0, -1) : typed + key;
    }
  }
}

async function next(stream: ReadStream): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const gone = (): void =>
    reject(new CommandError(exitCodes.environment, "the terminal went away"));
  const take = (chunk: Buffer): void => resolve(chunk.toString("utf8"));
  stream.once("data", take).once("close", gone);
  using cleanup = new DisposableStack();
  cleanup.defer(() => stream.off("data", take).off("close", gone));
  return await promise;
}

function openTerminal(): { readonly stream: ReadStream } & Disposable {
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
      "a password is needed, but there is no terminal; give it with --password-fd NUMBER",
      { cause },
    );
  }
}
