/** Bytes stored for an entry beyond the entry, by the program that counts them. */
import { existsSync } from "node:fs";
import { run } from "../support/instance.ts";
import type { Figure } from "./figure.ts";

const program = new URL("bytes.ts", import.meta.url).pathname;

/** Names of the figures, by the program's cases. */
const names: Readonly<{ [kind: string]: string }> = {
  "v2, e-mail certificate": "bytes",
  "v2, all 24 extensions": "bytes-extensions",
  "v1 with its SET, e-mail certificate": "bytes-v1",
  "v1 with its SET, all 24 extensions": "bytes-v1-extensions",
};

/** Runs the program, which prints a line of JSON for each case. */
export async function measureBytes(): Promise<Figure[]> {
  if (!existsSync(program)) return [];
  const { code, stdout, stderr } = await run(process.execPath, [program, "--json"]);
  if (code !== 0) throw new Error(`test/bench/bytes.ts: ${stderr}${stdout}`);
  return stdout
    .trim()
    .split("\n")
    .map((line) => {
      // The program prints exactly that.
      const {
        case: kind,
        entry,
        beyond,
        size,
      } = JSON.parse(line) as {
        readonly case: string;
        readonly entry: number;
        readonly beyond: number;
        readonly size: number;
      };
      const name = names[kind];
      if (name === undefined) throw new Error(`test/bench/bytes.ts: a case more: ${kind}`);
      return { name, value: beyond, detail: `beside an entry of ${entry}, log of ${size}` };
    });
}
