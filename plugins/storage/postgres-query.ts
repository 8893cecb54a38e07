/** Statements and what they answer, with every column as the server sent it. */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";

/** The rows of one statement, every column as text: the package reads every answer as UTF-8, whatever form is asked for. */
export async function rowsOf(
  client: pg.Client,
  statement: string | pg.QueryConfig,
  values: readonly unknown[] = [],
): Promise<unknown[][]> {
  const asked =
    typeof statement === "string" ? { text: statement, values: [...values] } : statement;
  const { rows } = await client.query<unknown[]>({ ...asked, rowMode: "array" });
  return rows;
}

/** The one value of the one row, as text. */
export async function textOf(
  client: pg.Client,
  text: string,
  values: readonly unknown[] = [],
): Promise<string> {
  const [row] = await rowsOf(client, text, values);
  return String(row?.[0]);
}

/** A column of type bytea, which the server writes as `\\x` and hexadecimal digits. */
export function bytesOf(value: unknown): Uint8Array {
  if (typeof value !== "string" || !value.startsWith("\\x")) {
    throw new Error("postgres: a column that holds bytes holds something else");
  }
  return new Uint8Array(Buffer.from(value.slice(2), "hex"));
}

/** The SQLSTATE, or the system's code, of an error. */
export function codeOf(thrown: unknown): string | null {
  if (!(thrown instanceof Error) || !("code" in thrown)) return null;
  return typeof thrown.code === "string" ? thrown.code : null;
}

/** True if the server did not say what is wrong: the connection is gone, or the server is going down or coming up. */
export function isLostConnection(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code === null || !/^[0-9A-Z]{5}$/.test(code) || /^(?:08|57P0|25P03)/.test(code);
}

/** How long a connection is given to say goodbye. */
const goodbyeMs = 1_000;

/**
 * What `work` comes to, or the loss of the connection if that comes first: of statements that were under way when a connection broke,
 * the package may answer none.
 */
export async function unlessLost<T>(client: pg.Client, work: Promise<T>): Promise<T> {
  const { promise: lost, reject } = Promise.withResolvers<never>();
  const end = (): void => reject(new Error("the connection to the server is lost"));
  client.once("end", end).once("error", end);
  // Whichever is second has nobody who waits for it.
  work.catch(() => undefined);
  lost.catch(() => undefined);
  try {
    return await Promise.race([work, lost]);
  } finally {
    client.off("end", end).off("error", end);
  }
}

/**
 * What `work` comes to, unless the server warns meanwhile: of a commit whose wait for the standby was broken off it says so in a notice
 * only. Here it is durable, there perhaps not.
 */
export async function withoutWarnings<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  const warnings: string[] = [];
  const listen = ({ message = "" }: { readonly message?: string | undefined }) => {
    warnings.push(message);
  };
  client.on("notice", listen);
  try {
    const done = await work();
    if (warnings.length > 0) throw new Error(`COMMIT came with a warning: ${warnings.join("; ")}`);
    return done;
  } finally {
    client.off("notice", listen);
  }
}

/** Closes a connection, whatever state it is in. */
export async function closeConnection(client: pg.Client): Promise<void> {
  const left = new AbortController();
  const goodbye = client.end().catch(() => undefined);
  await Promise.race([
    goodbye,
    sleep(goodbyeMs, undefined, { signal: left.signal }).catch(() => undefined),
  ]);
  left.abort();
}
