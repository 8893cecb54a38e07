/** What tests of bad input share: ways to send it, what an error may say, and what it must not have changed. */
import { connect } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "vitest";
import type { Instance } from "./instance.ts";

/** What no bad request may change. */
export interface Effects {
  readonly rekorSize: number;
  readonly ctSize: number;
  readonly signatures: number;
  readonly services: number;
}

/** An answer of the door. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: unknown;
}

/** Posts a body, as JSON unless `headers` say otherwise. */
export async function post(
  origin: string,
  path: string,
  body: string,
  headers: { [name: string]: string } = {},
): Promise<Answer> {
  const response = await fetch(`${origin}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") ?? false;
  return { status: response.status, text, json: isJson ? JSON.parse(text) : null };
}

/** The status, and an error text that gives nothing away. */
export function expectError(answer: Answer, status: number): void {
  expect(answer.status, answer.text).toBe(status);
  expectQuiet(answer.text);
}

/** Short, no paths, no stack, no library text. */
export function expectQuiet(text: string): void {
  expect(text.length).toBeLessThanOrEqual(1024);
  expect(text).not.toMatch(/node_modules|\.ts:|at \w+ \(|sqlite|SoftHSM|CKR_/i);
}

/** The state of logs, vault and process that a bad request must leave alone. */
export async function effects(instance: Instance): Promise<Effects> {
  const rekor = (await (await fetch(`${instance.origin}/api/v1/log`)).json()) as {
    treeSize: number;
  };
  const ct = (await (await fetch(`${instance.origin}/logs/ct/ct/v1/get-sth`)).json()) as {
    tree_size: number;
  };
  return {
    rekorSize: rekor.treeSize,
    ctSize: ct.tree_size,
    signatures: signatures(instance),
    services: await instance.pid("services"),
  };
}

/** Signatures the vault's ledger knows of: intents, because outcomes may be written a little later. */
function signatures(instance: Instance): number {
  using database = new DatabaseSync(join(instance.home, "vault", "vault.db"), { readOnly: true });
  const row = database
    .prepare(`SELECT count(*) AS n FROM ledger WHERE body LIKE '%"type":"intent"%'`)
    .get() as { n: number };
  return row.n;
}

/** Sends bytes that no HTTP library would. */
export async function raw(port: number, head: string): Promise<{ status: number; body: string }> {
  const text = await new Promise<string>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(head));
    let said = "";
    socket.on("data", (chunk) => (said += chunk.toString("latin1")));
    socket.on("close", () => resolve(said));
    socket.on("error", reject);
    socket.setTimeout(60_000, () => socket.destroy());
  });
  const [status = "0"] = /^HTTP\/1\.1 (\d{3})/.exec(text)?.slice(1) ?? [];
  return { status: Number(status), body: text.slice(text.indexOf("\r\n\r\n") + 4) };
}
