/** Asking for secrets at the terminal, without echo, and reading them from file descriptors. Never from an argument or the environment. */
import { openSync, readFileSync } from "node:fs";
import { ReadStream } from "node:tty";
import { CommandError, exitCodes } from "../plugins/client/commands.ts";

/** A terminal at which several questions may be asked; what is typed ahead counts for the next one. */
export interface SecretPrompt extends Disposable {
  /** What is typed up to the end of the line. @throws {CommandError} on Ctrl-C, with `none`, or if the terminal goes away */
  ask(question: string, none: string): Promise<string>;
}

/** @throws {CommandError} with `absent` if there is no terminal. */
export function openPrompt(absent: string): SecretPrompt {
  const stream = openTerminal(absent);
  return {
    async ask(question, none) {
      process.stderr.write(question);
      let typed = "";
      for (;;) {
        for (const key of await next(stream)) {
          if (key === "\u0003") throw new CommandError(exitCodes.failed, none);
          if (key === "\r" || key === "\n") {
            process.stderr.write("\n");
            return typed;
          }
          typed = key === "\u007f" ? typed.slice(0, -1) : typed + key;
        }
      }
    },
    [Symbol.dispose]() {
      stream.setRawMode(false);
      stream.destroy();
    },
  };
}

/** The content of a file descriptor without the end of its line. @throws {CommandError} with `unreadable` */
export function readDescriptor(descriptor: number, unreadable: string): string {
  try {
    return readFileSync(descriptor, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw new CommandError(exitCodes.environment, unreadable, { cause });
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

function openTerminal(absent: string): ReadStream {
  try {
    const stream = new ReadStream(openSync("/dev/tty", "r"));
    stream.setRawMode(true);
    return stream;
  } catch (cause) {
    throw new CommandError(exitCodes.environment, absent, { cause });
  }
}
