/** What a command is given, what it gives back, and how it fails. */

/** Exit codes; scripts depend on them. */
export const exitCodes = {
  ok: 0,
  /** A verification or an operation failed. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** Something outside is missing or unreachable: a file, the home, the service. */
  environment: 3,
} as const;

/** One of {@link exitCodes}. */
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The world as a command sees it. */
export interface Terminal {
  readonly environment: Readonly<{ [name: string]: string | undefined }>;
  /** Absolute path of the working folder. */
  readonly folder: string;
  /** Prints a line to standard output. */
  readonly print: (line: string) => void;
  /** Prints a line to standard error. */
  readonly complain: (line: string) => void;
  /** True if somebody sits there who can be asked to do something. */
  readonly interactive?: boolean;
  /** All of standard input, bounded. */
  readonly readInput: () => Promise<Uint8Array>;
}

/** The code of a command, loaded when it is called. */
interface CommandBody {
  /** @throws {CommandError} to end with a message and its exit code. */
  readonly run: (args: readonly string[], terminal: Terminal) => Promise<ExitCode>;
}

/** A command, known without loading its code. */
export interface Command {
  /** Words that call it, such as `log show`. */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** What follows the name, with one flag or operand a line. */
  readonly usage: readonly string[];
  readonly load: () => Promise<CommandBody>;
}

/**
 * Why a service did not do what it was asked, where that is its operator's will and no fault; scripts depend on it. `policy-refused`: the
 * policy allows the identity no certificate. `sign-in-refused`: there is no such demo account.
 * `log-frozen`: the log takes no more entries. `scts-detached`: certificates come without the SCT that a bundle needs.
 */
export type Reason = "policy-refused" | "sign-in-refused" | "log-frozen" | "scts-detached";

/** A command that ends without success. The message says what to do next; it never holds a token or secret. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: ExitCode;
  /** Null if it may be a fault. */
  readonly reason: Reason | null;

  constructor(
    exitCode: ExitCode,
    message: string,
    { reason = null, ...options }: ErrorOptions & { readonly reason?: Reason | null } = {},
  ) {
    super(message, options);
    this.exitCode = exitCode;
    this.reason = reason;
  }
}

/** A wrong command line. */
export function usageError(message: string): CommandError {
  return new CommandError(exitCodes.usage, message);
}

/** Something outside that is missing or unreachable. */
export function environmentError(message: string, cause?: unknown): CommandError {
  return new CommandError(exitCodes.environment, message, { cause });
}
