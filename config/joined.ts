/**
 * A folder from which a second service process runs, on the same database, NATS and vault as an instance that is somewhere else. It
 * has what the instance's home has, by links or as a copy, and besides that a file that says what is its own.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { parseJson } from "../core/formats/json.ts";
import { CompositionError } from "../core/graph.ts";
import { port } from "./schema.ts";

/** The name of the file. */
export const joinedFile = "joined.json";

const joined = v.strictObject({
  version: v.literal(1),
  /** The home, or the copy of one, that was joined: an absolute path. */
  of: v.string(),
  port,
  tlsPort: port,
  /** Absent means that this process shows no metrics. */
  metricsPort: v.optional(port),
});

/** What a joined folder has of its own. */
export type Joined = v.InferOutput<typeof joined>;

/** What the folder has of its own, or null if it is a home like any other. @throws {CompositionError} if it cannot be read */
export async function readJoined(home: string): Promise<Joined | null> {
  const path = join(home, joinedFile);
  try {
    return v.parse(joined, parseJson(await readFile(path, "utf8")));
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return null;
    throw new CompositionError(`${path} is damaged: remove the folder and join again`, { cause });
  }
}

/** The configuration as it is in a joined folder: with listeners of its own. */
export function movedListeners(
  sections: { readonly [plugin: string]: unknown },
  own: Joined,
): { readonly [plugin: string]: unknown } {
  const { metrics: shown, ...rest } = sections;
  const { port: _port, ...metrics } = objectOf(shown);
  const http = { ...objectOf(sections["http"]), port: own.port, tlsPort: own.tlsPort };
  const ownPort = own.metricsPort === undefined ? {} : { port: own.metricsPort };
  return { ...rest, http, metrics: { ...metrics, ...ownPort } };
}

/** A section that is none is left to its plugin's schema, which says what is wrong with it in the instance's own home. */
function objectOf(section: unknown): { readonly [key: string]: unknown } {
  return typeof section === "object" && section !== null ? { ...section } : {};
}
