/** Every log as c2sp.org/tlog-tiles serves it, below `/logs/<name>`; the active Rekor v2 shard at the origin and below `/api/v2` too. */
import { Malformed } from "../../core/formats/malformed.ts";
import { parseTilePath, tileWidth } from "../../core/formats/tile.ts";
import type { QuestionOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { latestHead, readTile } from "../../events/log.ts";
import { textFamily as family } from "./families.ts";
import { logIn } from "./log-name.ts";
import type { Answered, Put, Route } from "./route.ts";

/** Bytes of a full tile of hashes, and how many of them are kept at hand. */
const fullTileBytes = 8_192;
const keptTiles = 128;

/** The routes of all logs; `active` is the log whose tiles, or whose newest successor's, are at the origin too, as clients of Rekor v2 want it. */
export function tileRoutes(ask: Put, active: string | undefined): readonly Route[] {
  if (active === undefined) return logRoutes(ask, "/logs/:log", (path) => ({ log: logIn(path) }));
  const newest = { log: active, newest: true };
  return [
    ...logRoutes(ask, "/logs/:log", (path) => ({ log: logIn(path) })),
    ...logRoutes(ask, "", () => newest),
    ...logRoutes(ask, "/api/v2", () => newest),
  ];
}

type Path = Parameters<Route["handle"]>[0]["path"];

/** A log, or with `newest` the one that has taken over from it. */
type LogAsked = Pick<QuestionOf<typeof latestHead>, "log" | "newest">;

function logRoutes(ask: Put, base: string, logOf: (path: Path) => LogAsked): readonly Route[] {
  const kept = new Map<string, Answered>();
  return [
    {
      method: "GET",
      path: `${base}/checkpoint`,
      family,
      async handle({ path }) {
        const { head } = await ask(latestHead, logOf(path));
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
      path: `${base}/tile/*`,
      family,
      async handle({ path }) {
        const name = path["*"] ?? "";
        const asked = logOf(path);
        const key = `${asked.log} ${name}`;
        const known = kept.get(key);
        if (known !== undefined) return known;
        const at = tileIn(name);
        const { tile } = await ask(readTile, { ...asked, ...at });
        // A tile never changes; a partial one is superseded and may be dropped.
        const isFull = at.width === tileWidth;
        const answered = {
          status: 200,
          contentType: "application/octet-stream",
          body: tile,
          headers: { "cache-control": isFull ? "max-age=31536000, immutable" : "max-age=60" },
        };
        // Not of whoever is the newest log, which may be another one soon.
        const isKept = isFull && tile.length === fullTileBytes && asked.newest !== true;
        if (isKept) keep(kept, key, answered);
        return answered;
      },
    },
  ];
}

/** Drops the one that has been there longest: whoever reads a log reads it in order. */
function keep(kept: Map<string, Answered>, key: string, answered: Answered): void {
  const [oldest] = kept.size < keptTiles ? [] : kept.keys();
  if (oldest !== undefined) kept.delete(oldest);
  kept.set(key, answered);
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
