/** What the operator asked for: flags of `npm start` and the environment variables of the README. */
import { existsSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Refusal } from "./refusal.ts";

/** Settings of one start. Absent means: whatever the home says, or the default at genesis. */
export interface Settings {
  /** Absolute path of `CHANCERY_HOME`. */
  readonly home: string;
  readonly port: number | undefined;
  readonly tlsPort: number | undefined;
  /** Port of the metrics; without it there are none. */
  readonly metricsPort?: number | undefined;
  /** Origin that published URLs use instead of `http://localhost:<port>`; only genesis looks at it. */
  readonly publicUrl: string | undefined;
  /** Absolute path of the script of the genesis, the demo's if absent; only genesis looks at it. */
  readonly genesis?: string;
  /** Absolute path of the home of an instance that this start adds a second service process to. */
  readonly join?: string;
  /** Stop after the readiness proof. */
  readonly once: boolean;
}

/** @throws {Refusal} on an unknown flag or an unusable value. */
export function readSettings(
  args: readonly string[],
  environment: Readonly<{ [name: string]: string | undefined }>,
): Settings {
  const home = environment["CHANCERY_HOME"] || ".chancery";
  return {
    home: isAbsolute(home) ? home : resolve(home),
    port: readPort("CHANCERY_PORT", environment),
    tlsPort: readPort("CHANCERY_TLS_PORT", environment),
    metricsPort: readPort("CHANCERY_METRICS_PORT", environment),
    publicUrl: readOrigin(environment["CHANCERY_PUBLIC_URL"]),
    ...readGenesis(environment["CHANCERY_GENESIS"]),
    ...readFlags(args),
  };
}

function readFlags(args: readonly string[]): Pick<Settings, "once" | "join"> {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { once: { type: "boolean", default: false }, join: { type: "string" } },
      strict: true,
    });
    const { once, join } = values;
    return { once, ...(join !== undefined && { join: resolve(join) }) };
  } catch {
    throw new Refusal(
      `npm start knows only the flags --once and --join FOLDER, not "${args.join(" ")}"`,
    );
  }
}

function readPort(
  name: string,
  environment: Readonly<{ [name: string]: string | undefined }>,
): number | undefined {
  const text = environment[name];
  if (text === undefined || text === "") return undefined;
  const port = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) {
    throw new Refusal(`${name} is "${text}", but a port is a number from 1 to 65535`);
  }
  return port;
}

function readOrigin(text: string | undefined): string | undefined {
  if (text === undefined || text === "") return undefined;
  if (!URL.canParse(text) || new URL(text).origin !== text) {
    throw new Refusal(
      `CHANCERY_PUBLIC_URL is "${text}", but it must be an origin without a path, such as https://sign.example.com`,
    );
  }
  return text;
}

/** A script of `deploy/ceremonies/` by its name, or another by its path. */
function readGenesis(text: string | undefined): Pick<Settings, "genesis"> {
  if (text === undefined || text === "") return {};
  const path = /^[a-z][a-z0-9-]*$/.test(text)
    ? new URL(`./ceremonies/${text}.yaml`, import.meta.url).pathname
    : resolve(text);
  if (existsSync(path)) return { genesis: path };
  throw new Refusal(
    `CHANCERY_GENESIS is "${text}", but there is no ceremony script at ${path}; name demo-genesis, genesis-deep, genesis-single or the path of another`,
  );
}
