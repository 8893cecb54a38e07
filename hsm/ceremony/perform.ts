/** Ceremonies in a process of their own, so that a module that crashes, and every PIN, stays in there. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import * as v from "valibot";
import { parseJson } from "../../core/formats/json.ts";
import { VaultRefused } from "../errors.ts";
import type { CeremonyMode, CeremonyRequest, CeremonyResult } from "./run.ts";

export type { CeremonyRequest } from "./run.ts";

const progress = v.union([
  v.strictObject({ step: v.string() }),
  v.strictObject({ call: v.string() }),
  v.strictObject({ result: v.strictObject({ transcript: v.string() }) }),
]);

/**
 * Performs a ceremony that was rehearsed, or goes on with one that was interrupted. `report` is told of every step before it is
 * performed. Resolves once everything is made and on the disk.
 *
 * @throws {VaultRefused} with one sentence; what was made until then stays, and the same call goes on with it
 */
export async function performCeremony(
  request: CeremonyRequest,
  report: (step: string) => void = () => undefined,
): Promise<CeremonyResult> {
  return await inChild(request, "perform", report);
}

/** Rehearses a ceremony on a throw-away SoftHSM token, and leaves the record without which it is not performed. @throws {VaultRefused} */
export async function rehearseCeremony(
  request: CeremonyRequest,
  report: (step: string) => void = () => undefined,
): Promise<CeremonyResult> {
  return await inChild(request, "rehearse", report);
}

/** Every step and PKCS#11 call of a ceremony, told while a throw-away token does them; leaves nothing. @throws {VaultRefused} */
export async function dryRunCeremony(
  request: CeremonyRequest,
  tell: (line: string) => void,
): Promise<void> {
  await inChild(request, "dry-run", tell);
}

async function inChild(
  request: CeremonyRequest,
  mode: CeremonyMode,
  report: (line: string) => void,
): Promise<CeremonyResult> {
  const child = spawn(process.execPath, [new URL("./child.ts", import.meta.url).pathname], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  const complaint = text(child.stderr);
  child.stdin.end(JSON.stringify({ request, mode }));
  let result: CeremonyResult | null = null;
  for await (const line of createInterface({ input: child.stdout })) {
    const said = v.parse(progress, parseJson(line));
    if ("step" in said) report(said.step);
    else if ("call" in said) report(`  ${said.call}`);
    else result = said.result;
  }
  const code = await exited;
  if (code === 0 && result) return result;
  const [message = ""] = (await complaint).split("\n");
  throw new VaultRefused(message || `the ceremony's process ended with exit code ${code}`);
}
