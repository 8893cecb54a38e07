/** A home that genesis made once, from which several instances begin one after the other: its ports are part of it. */
import { cpSync, rmSync } from "node:fs";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environmentOf, type Place, run } from "../support/instance.ts";
import { freePort } from "../support/ports.ts";

const checkout = new URL("../../", import.meta.url).pathname;

/** See above. */
export interface PreparedHome extends AsyncDisposable {
  readonly natsPort: number;
  /** Where nats-server listens, behind the proxy. */
  readonly realNatsPort: number;
  /** Lays a copy of the home at this path. Only one at a time may run. */
  copyTo(home: string): Place;
}

/** Makes one. @throws with what was said if genesis fails */
export async function prepareHome(): Promise<PreparedHome> {
  const folder = await mkdtemp(join(tmpdir(), "chancery-prepared-"));
  const clear = (): void => rmSync(folder, { recursive: true, force: true });
  // Also if the program is interrupted.
  process.once("exit", clear);
  const remove = async (): Promise<void> => {
    process.off("exit", clear);
    clear();
    await Promise.resolve();
  };
  const place = { home: join(folder, "home"), port: await freePort(), tlsPort: await freePort() };
  const program = [join(checkout, "deploy", "start.ts"), "--once"];
  const made = await run(process.execPath, program, environmentOf(place));
  if (made.code !== 0) {
    await remove();
    throw new Error(`no instance could be made: ${made.stderr}`);
  }
  const instance = await readFile(join(place.home, "instance.json"), "utf8");
  const { natsPort } = JSON.parse(instance) as { readonly natsPort: number };
  return {
    natsPort,
    realNatsPort: await freePort(),
    copyTo(home) {
      cpSync(place.home, home, { recursive: true });
      return { ...place, home };
    },
    [Symbol.asyncDispose]: remove,
  };
}
