/** SoftHSM's configuration: which folder holds the token, told by an environment variable of the module. */
import { join } from "node:path";
import { durableWrite } from "../core/durable.ts";

/** The tokens of a demo home. */
export type TokenName = "online" | "offline";

/** The environment that makes SoftHSM use the online token of `home`. */
export function tokenEnvironment(
  home: string,
  name: TokenName = "online",
): { readonly SOFTHSM2_CONF: string } {
  return { SOFTHSM2_CONF: join(home, `softhsm2-${name}.conf`) };
}

/** Writes both configuration files into `home`, for tokens that lie in `place`. */
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
