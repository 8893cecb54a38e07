/** Performs a ceremony in a process of its own, so that a module that crashes, and every PIN, stays in there. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import * as v from "valibot";
import { parseJson } from "../../core/formats/json.ts";
import { VaultRefused } from "../errors.ts";
import type { CeremonyRequest, CeremonyResult } from "./run.ts";

export type { CeremonyRequest } from "./run.ts";

const progress = v.union([
  v.strictObject({ step: v.string() }),
  v.strictObject({ result: v.strictObject({ transcript: v.string() }) }),
]);

/**
 * Resolves once everything is made and on the disk. `report` is told of every step before it is performed.
 *
 * @throws {VaultRefused} with one sentence; what was made until then stays for inspection, and is never continued
 */
export async function performCeremony(
  request: CeremonyRequest,
  report: (step: string) => void = () => undefined,
): Promise<CeremonyResult> {
  const child = spawn(process.execPath, [new URL("./child.ts", import.meta.url).pathname], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  const complaint = text(child.stderr);
  child.stdin.end(JSON.stringify(request));
  let result: CeremonyResult | null = null;
  for await (const line of createInterface({ input: child.stdout })) {
    const said = v.parse(progress, parseJson(line));
    if ("step" in said) report(said.step);
    else result = said.result;
  }
  const code = await exited;
  if (code === 0 && result) return result;
  const [message = ""] = (await complaint).split("\n");
  throw new VaultRefused(message || `the ceremony's process ended with exit code ${code}`);
}
