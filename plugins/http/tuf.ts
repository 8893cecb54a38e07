/** The TUF repository, below `/tuf/`. A file that is missing must be exactly 404, or clients take their update for failed. */
import { Failure } from "../../events/failure.ts";
import { readTrustFile } from "../../events/trust.ts";
import { textFamily as family } from "./families.ts";
import type { Put, Route } from "./route.ts";

const maxPathLength = 200;

/** The one route of the repository. */
export function tufRoutes(ask: Put): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/tuf/*",
      family,
      async handle({ path }) {
        const file = path["*"] ?? "";
        const plain = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/.test(
          file,
        );
        if (!plain || file.length > maxPathLength) throw new Failure("not-found", "no such file");
        const { content, immutable } = await ask(readTrustFile, { path: file });
        return {
          status: 200,
          contentType: file.endsWith(".json") ? "application/json" : "application/octet-stream",
          body: content,
          headers: { "cache-control": immutable ? "max-age=31536000, immutable" : "no-cache" },
        };
      },
    },
  ];
}
