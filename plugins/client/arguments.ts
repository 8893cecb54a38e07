/** Command lines, parsed strictly: what is not understood exactly is refused, since a flag that is ignored is a check that is skipped. */
import { usageError } from "./terminal.ts";

/** What a command takes. */
export interface Grammar {
  /** Names of the operands, all of them needed. */
  readonly operands: readonly string[];
  /** Flags with a value, without their dashes. */
  readonly values: readonly string[];
  /** Flags without. */
  readonly switches: readonly string[];
}

/** A command line that follows its grammar. */
export interface Arguments {
  /** As many as the grammar names. */
  readonly operands: readonly string[];
  readonly value: (name: string) => string | undefined;
  readonly has: (name: string) => boolean;
}

const longestArgument = 131_072;

/**
 * Parses `--flag value`, `--flag=value`, switches and operands; `--` ends the flags.
 *
 * @throws {CommandError} on an unknown, repeated or empty flag, a missing or surplus operand, or text that was not UTF-8.
 */
export function parseArguments(args: readonly string[], grammar: Grammar): Arguments {
  const values = new Map<string, string>();
  const switches = new Set<string>();
  const operands: string[] = [];
  const rest = args.map(checkText)[Symbol.iterator]();
  for (const arg of rest) {
    if (arg === "--") {
      for (const operand of rest) operands.push(checkOperand(operand));
    } else if (arg.startsWith("-")) {
      const [name, inline] = splitFlag(arg);
      if (values.has(name) || switches.has(name)) throw usageError(`--${name} is given twice`);
      if (grammar.switches.includes(name)) {
        if (inline !== undefined) throw usageError(`--${name} takes no value`);
        switches.add(name);
      } else if (grammar.values.includes(name)) {
        values.set(name, valueOf(name, inline ?? nextOf(rest)));
      } else {
        throw usageError(`unknown flag ${arg.split("=")[0]?.slice(0, 64)}`);
      }
    } else {
      operands.push(checkOperand(arg));
    }
  }
  checkOperands(operands, grammar.operands);
  return { operands, value: (name) => values.get(name), has: (name) => switches.has(name) };
}

/** The value of a flag that must be given. @throws {CommandError} */
export function required(args: Arguments, name: string): string {
  const value = args.value(name);
  if (value === undefined) throw usageError(`--${name} is missing`);
  return value;
}

/** An integer that is not negative, or undefined if the flag is not given. @throws {CommandError} */
export function optionalIndex(args: Arguments, name: string): bigint | undefined {
  const text = args.value(name);
  if (text === undefined) return undefined;
  if (!/^(?:0|[1-9][0-9]{0,18})$/.test(text)) {
    throw usageError(`--${name} must be a number that is not negative`);
  }
  return BigInt(text);
}

function checkText(arg: string): string {
  // Node replaces what is not UTF-8; such a name could not be found again.
  if (arg.includes("\u{fffd}")) throw usageError("an argument is not valid UTF-8");
  if (arg.includes("\0")) throw usageError("an argument contains a zero byte");
  if (arg.length > longestArgument) throw usageError("an argument is too long");
  return arg;
}

function checkOperand(operand: string): string {
  if (operand === "") throw usageError("an operand is empty");
  if (operand.startsWith("-")) {
    throw usageError(
      `"${operand.slice(0, 64)}" looks like a flag; write ./${operand.slice(0, 64)} if it is a file`,
    );
  }
  return operand;
}

function splitFlag(arg: string): [name: string, value: string | undefined] {
  if (!arg.startsWith("--")) throw usageError(`unknown flag ${arg.slice(0, 64)}`);
  const equals = arg.indexOf("=");
  return equals < 0 ? [arg.slice(2), undefined] : [arg.slice(2, equals), arg.slice(equals + 1)];
}

function nextOf(rest: Iterator<string>): string | undefined {
  const next = rest.next();
  return next.done === true ? undefined : next.value;
}

function valueOf(name: string, value: string | undefined): string {
  if (value === undefined || value === "") throw usageError(`--${name} needs a value`);
  // "-" alone is standard input; anything else with a dash is far more often a flag whose neighbour was forgotten.
  if (value.startsWith("--"))
    throw usageError(`--${name} needs a value, not the flag ${value.slice(0, 64)}`);
  return value;
}

function checkOperands(operands: readonly string[], names: readonly string[]): void {
  const missing = names[operands.length];
  if (missing !== undefined) throw usageError(`${missing} is missing`);
  const surplus = operands[names.length];
  if (surplus !== undefined) throw usageError(`"${surplus.slice(0, 64)}" is one argument too many`);
}
