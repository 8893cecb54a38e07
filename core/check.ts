/** Holding values against schemas. */
import type { Schema } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";

/** The value as a schema gives it, or what is wrong with it in one line. */
export interface Checked {
  readonly issues?: string;
  readonly value?: unknown;
}

/** Holds a value against a schema; the answer is a promise only where the schema's own is, as none of ours. */
export function check(schema: Schema, value: unknown): Checked | Promise<Checked> {
  const checked = schema["~standard"].validate(value);
  return checked instanceof Promise ? checked.then(told) : told(checked);
}

/**
 * The value as the schema gives it, or a promise of it as {@link check} says. It is done for every ask, twice: a promise that nobody
 * needs would cost as much as the check.
 *
 * @throws {Failure} with `code`.
 */
export function accept(schema: Schema, value: unknown, code: "malformed" | "internal"): unknown {
  const result = schema["~standard"].validate(value);
  return result instanceof Promise
    ? result.then((later) => accepted(later, code))
    : accepted(result, code);
}

type Result = Awaited<ReturnType<Schema["~standard"]["validate"]>>;

function told(result: Result): Checked {
  if (!result.issues) return { value: result.value };
  const lines = result.issues.map(({ path = [], message }) => {
    const keys = path.map((segment) => String(typeof segment === "object" ? segment.key : segment));
    return `${keys.join(".") || "(root)"}: ${message}`;
  });
  return { issues: lines.join("; ") };
}

function accepted(result: Result, code: "malformed" | "internal"): unknown {
  if (!result.issues) return result.value;
  throw new Failure(code, told(result).issues ?? "");
}
