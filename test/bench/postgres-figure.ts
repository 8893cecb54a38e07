/** Entries a second on PostgreSQL, by the program that measures them. */
import { run } from "../support/instance.ts";
import type { Figure } from "./figure.ts";

const program = new URL("postgres.ts", import.meta.url).pathname;

/** Runs the program. */
export async function measurePostgres(seconds: number): Promise<Figure> {
  const args = [program, "--seconds", String(seconds)];
  const { code, stdout, stderr } = await run(process.execPath, args);
  const alone = /^one server: ([0-9]+) entries\/s/m.exec(stdout)?.[1];
  const rate = /^synchronous standby: ([0-9]+) entries\/s, (.*)/m.exec(stdout);
  if (code !== 0 || rate === null) throw new Error(`test/bench/postgres.ts: ${stderr}${stdout}`);
  const detail = `every commit on two servers, ${rate[2]}; on one server ${alone} entries/s`;
  return { name: "postgres", value: Number(rate[1]), detail };
}
