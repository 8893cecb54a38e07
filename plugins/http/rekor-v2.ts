/** Rekor v2's write API (`rekor-tiles:api/proto/rekor/v2/rekor_service.proto`); what is read are tiles, see `tiles.ts`. */
import { entryJson } from "../../core/formats/bundle-entry.ts";
import type { AnswerOf } from "../../events/contract.ts";
import { createEntryV2 } from "../../events/rekor.ts";
import { rekorV2Family as family } from "./families.ts";
import { json, type Put, type Route } from "./route.ts";

const maxEntryBytes = 4_194_304;

/** The routes of Rekor v2 that write. */
export function rekorV2Routes(ask: Put): readonly Route[] {
  return [
    {
      method: "POST",
      path: "/api/v2/log/entries",
      family,
      body: { mediaType: "application/json", maxBytes: maxEntryBytes },
      handle: async ({ body: request }) =>
        json(transparencyLogEntry(await ask(createEntryV2, { request })), 201),
    },
  ];
}

/** A TransparencyLogEntry with every member, also those of value zero. */
function transparencyLogEntry(entry: AnswerOf<typeof createEntryV2>): object {
  const { index, logId, kind, version, body, size, root, hashes, checkpoint } = entry;
  return {
    ...entryJson({
      index,
      logId,
      kind,
      kindVersion: version,
      // A v2 log promises no time; that is the timestamp authority's to say.
      integratedTimeSeconds: 0n,
      signedEntryTimestamp: null,
      inclusionProof: { index, root, size, hashes, checkpoint },
      canonicalizedBody: body,
    }),
    inclusionPromise: null,
  };
}
