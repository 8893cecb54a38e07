/** SoftHSM's configuration: which folder holds the token, told by an environment variable of the module. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { durableWrite } from "../core/durable.ts";
import { Refusal } from "./refusal.ts";

/** The tokens of a demo home. */
export type TokenName = "online" | "offline";

/** The environment that makes SoftHSM use the online token of `home`. */
export function tokenEnvironment(
  home: string,
  name: TokenName = "online",
): { readonly SOFTHSM2_CONF: string } {
  return { SOFTHSM2_CONF: join(home, `softhsm2-${name}.conf`) };
}

/** @throws {Refusal} if the online token or its PIN is gone: only a backup can bring them back. */
export function refuseMissingTokens(home: string): void {
  for (const [name, what] of [
    ["tokens/online", "the keys"],
    ["secrets/pin", "the PIN of the token"],
  ] as const) {
    if (existsSync(join(home, name))) continue;
    throw new Refusal(
      `${join(home, name)}, ${what} of ${home}, is missing; put it back from a backup`,
    );
  }
}

/**
 * Writes both configuration files into `home`, for tokens that lie in `place`. SoftHSM takes absolute paths only, so every start
 * writes them: a home that was moved or restored elsewhere must use its own tokens, not those where it came from.
 */
export async function writeTokenConfiguration(home: string, place = home): Promise<void> {
  for (const name of ["online", "offline"] as const) {
    const text = [
      `directories.tokendir = ${join(place, "tokens", name)}`,
      "objectstore.backend = file",
      "log.level = ERROR",
      "slots.removable = false",
      "slots.mechanisms = ALL",
      "",
    ].join("\n");
    await durableWrite(join(home, `softhsm2-${name}.conf`), new TextEncoder().encode(text), 0o600);
  }
}
