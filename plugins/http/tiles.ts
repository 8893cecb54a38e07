/** Every log as c2sp.org/tlog-tiles serves it, below `/logs/<name>`. */
import { Malformed } from "../../core/formats/malformed.ts";
import { parseTilePath, tileWidth } from "../../core/formats/tile.ts";
import { Failure } from "../../events/failure.ts";
import { latestHead, readTile } from "../../events/log.ts";
import { textFamily as family } from "./families.ts";
import type { Put, Route } from "./route.ts";

/** The routes of all logs. */
export function tileRoutes(ask: Put): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/logs/:log/checkpoint",
      family,
      async handle({ path }) {
        const { head } = await ask(latestHead, { log: logIn(path) });
        return {
          status: 200,
          contentType: "text/plain; charset=utf-8",
          body: head.checkpoint,
          headers: { "cache-control": "no-cache" },
        };
      },
    },
    {
      method: "GET",
      path: "/logs/:log/tile/*",
      family,
      async handle({ path }) {
        const at = tileIn(path["*"] ?? "");
        const { tile } = await ask(readTile, { log: logIn(path), ...at });
        // A tile never changes; a partial one is superseded and may be dropped.
        const lifetime = at.width === tileWidth ? "max-age=31536000, immutable" : "max-age=60";
        return {
          status: 200,
          contentType: "application/octet-stream",
          body: tile,
          headers: { "cache-control": lifetime },
        };
      },
    },
  ];
}

function logIn({ log = "" }: { readonly [name: string]: string | undefined }): string {
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(log)) throw new Failure("not-found", "no such log");
  return log;
}

/** A path that names no tile names nothing: 404, not 400. */
function tileIn(rest: string) {
  try {
    return parseTilePath(`tile/${rest}`);
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    throw new Failure("not-found", "no such tile", { cause: thrown });
  }
}
