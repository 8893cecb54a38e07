/** What a reviewer asks of a script before anything is done: its hash, its steps, and the rules that it breaks. */
import { readFile } from "node:fs/promises";
import { VaultRefused } from "../errors.ts";
import { parseScript } from "./script.ts";
import { findingsIn, type ScriptFinding } from "./script-lint.ts";
import { titleOf } from "./steps.ts";

/** A script, looked at. */
export interface Review {
  readonly ceremony: string;
  readonly sha256: string;
  readonly steps: readonly string[];
  readonly findings: readonly ScriptFinding[];
  /** Tokens whose PIN must be given. */
  readonly asksPinsOf: readonly string[];
}

/** @throws {VaultRefused} if it is no ceremony script */
export async function lintCeremony(
  path: string,
  parameters: { readonly [name: string]: string },
): Promise<Review> {
  const source = await readFile(path, "utf8").catch(() => {
    throw new VaultRefused(`there is no ceremony script at ${path}`);
  });
  const script = parseScript(source, parameters);
  return {
    ceremony: script.ceremony,
    sha256: script.sha256,
    steps: script.steps.map(titleOf),
    findings: findingsIn(script),
    asksPinsOf: script.steps.flatMap((step) => {
      const opens = step.step === "initialiseToken" || step.step === "openToken";
      return opens && step.pinFile === undefined ? [step.token] : [];
    }),
  };
}
