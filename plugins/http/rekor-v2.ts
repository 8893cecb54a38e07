/** Rekor v2's write API (`rekor-tiles:api/proto/rekor/v2/rekor_service.proto`); what is read are tiles, see `tiles.ts`. */
import { encodeBase64 } from "../../core/formats/encoding.ts";
import type { AnswerOf } from "../../events/contract.ts";
import { createEntryV2 } from "../../events/rekor.ts";
import { rekorV2Family as family } from "./families.ts";
import { type Answered, type Put, type Route } from "./route.ts";

const maxEntryBytes = 4_194_304;

/** The routes of Rekor v2 that write. */
export function rekorV2Routes(ask: Put): readonly Route[] {
  return [
    {
      method: "POST",
      path: "/api/v2/log/entries",
      family,
      body: { mediaType: "application/json", maxBytes: maxEntryBytes },
      handle: async ({ body: request }) => created(await ask(createEntryV2, { request })),
    },
  ];
}

function created(entry: AnswerOf<typeof createEntryV2>): Answered {
  return { status: 201, contentType: "application/json", body: transparencyLogEntry(entry) };
}

/**
 * A TransparencyLogEntry with every member, also those of value zero: a v2 log promises no time, that is the timestamp authority's to say.
 * Written out, because nearly all that the door writes under load is this: values but the checkpoint's need no escaping.
 */
function transparencyLogEntry(entry: AnswerOf<typeof createEntryV2>): string {
  const { index, logId, kind, version, body, size, root, hashes, checkpoint } = entry;
  let path = "";
  for (const hash of hashes) path += `${path === "" ? "" : ","}"${encodeBase64(hash)}"`;
  const inclusionProof =
    `{"logIndex":"${index}","rootHash":"${encodeBase64(root)}","treeSize":"${size}","hashes":[${path}],` +
    `"checkpoint":{"envelope":${JSON.stringify(checkpoint)}}}`;
  return (
    `{"logIndex":"${index}","logId":{"keyId":"${encodeBase64(logId)}"},"kindVersion":{"kind":"${kind}","version":${JSON.stringify(version)}},` +
    `"integratedTime":"0","inclusionProof":${inclusionProof},"canonicalizedBody":"${encodeBase64(body)}","inclusionPromise":null}`
  );
}
