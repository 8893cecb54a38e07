/** What the next issuing CA is to be, as flags say it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseTrustedRoot } from "../core/formats/trusted-root.ts";
import { issuingAlgorithms, type Rotation } from "../hsm/commands.ts";
import { type Arguments, CommandError, exitCodes } from "../plugins/client/commands.ts";

/** Flags of `operate rotate-issuing-ca` that have values. */
export const rotationFlags = ["organization", "common-name", "years", "hold-seconds", "algorithm"];

/** @throws {CommandError} usage */
export async function rotationOf(
  parsed: Arguments,
  { home, key }: { readonly home: string; readonly key: string },
): Promise<Rotation> {
  const organization = parsed.value("organization") ?? (await organizationOf(home));
  return {
    key,
    organization,
    commonName: parsed.value("common-name") ?? `${organization} ${key}`,
    years: whole(parsed, "years", { standard: 10, most: 30 }),
    holdSeconds: whole(parsed, "hold-seconds", { standard: 0, most: 604_800 }),
    algorithm: algorithmOf(parsed),
  };
}

function algorithmOf(parsed: Arguments): Rotation["algorithm"] {
  const said = parsed.value("algorithm");
  const algorithm = issuingAlgorithms.find((one) => one === said);
  if (said === undefined || algorithm !== undefined) return algorithm;
  throw new CommandError(exitCodes.usage, `--algorithm is one of ${issuingAlgorithms.join(", ")}`);
}

async function organizationOf(home: string): Promise<string> {
  const text = await readFile(join(home, "trust", "trusted_root.json"), "utf8").catch(
    (cause: unknown) => {
      throw new CommandError(exitCodes.usage, "--organization is needed", { cause });
    },
  );
  return parseTrustedRoot(text).certificateAuthorities[0]?.organization ?? "";
}

function whole(
  parsed: Arguments,
  name: string,
  { standard, most }: { readonly standard: number; readonly most: number },
): number {
  const text = parsed.value(name);
  if (text === undefined) return standard;
  const number = /^\d{1,6}$/.test(text) ? Number(text) : -1;
  if (number >= 0 && number <= most && (name !== "years" || number > 0)) return number;
  throw new CommandError(exitCodes.usage, `--${name} is a whole number up to ${most}`);
}
