/** Holding values against schemas. */
import type { Schema } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";

/** The value as the schema gives it, or what is wrong with it in one line. */
export async function check(
  schema: Schema,
  value: unknown,
): Promise<{ readonly issues?: string; readonly value?: unknown }> {
  const checked = schema["~standard"].validate(value);
  const result = checked instanceof Promise ? await checked : checked;
  if (!result.issues) return { value: result.value };
  const lines = result.issues.map(({ path = [], message }) => {
    const keys = path.map((segment) => String(typeof segment === "object" ? segment.key : segment));
    return `${keys.join(".") || "(root)"}: ${message}`;
  });
  return { issues: lines.join("; ") };
}

/**
 * The value as the schema gives it.
 *
 * @throws {Failure} with `code`.
 */
export async function accept(
  schema: Schema,
  value: unknown,
  code: "malformed" | "internal",
): Promise<unknown> {
  const { issues, value: accepted } = await check(schema, value);
  if (issues !== undefined) throw new Failure(code, issues);
  return accepted;
}
