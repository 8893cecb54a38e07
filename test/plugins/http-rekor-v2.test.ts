/** The answer to a Rekor v2 entry is written out: it must be the bundle's own form of an entry, with every member. */
import { fc, test as property } from "../support/fixed-draws.ts";
import { expect } from "vitest";
import { entryJson } from "../../core/formats/bundle-entry.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { rekorV2Routes } from "../../plugins/http/rekor-v2.ts";
import type { Put } from "../../plugins/http/route.ts";

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
const uint = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });

property.prop([
  fc.record({
    index: uint,
    logId: hash,
    kind: fc.constantFrom("hashedrekord" as const, "dsse" as const),
    version: fc.constant("0.0.2"),
    body: fc.uint8Array({ maxLength: 3_000 }),
    size: uint,
    root: hash,
    hashes: fc.array(hash, { maxLength: 40 }),
    checkpoint: fc.string({ unit: "binary" }),
  }),
])("whatever the log answers, the door writes what a bundle would hold", async (answer) => {
  const { index, logId, kind, version, body, size, root, hashes, checkpoint } = answer;
  // The only ask of this door.
  const ask = (async () => await Promise.resolve(answer)) as unknown as Put;
  const [route] = rekorV2Routes(ask);
  const given = await route?.handle({
    path: {},
    query: new Map(),
    authorization: undefined,
    network: "",
    body: encodeUtf8("{}"),
    mediaType: "application/json",
    raw: { method: "POST", target: "/api/v2/log/entries", headers: {}, address: "" },
  });
  const entry = entryJson({
    index,
    logId,
    kind,
    kindVersion: version,
    integratedTimeSeconds: 0n,
    signedEntryTimestamp: null,
    inclusionProof: { index, root, size, hashes, checkpoint },
    canonicalizedBody: body,
  });
  const wanted = JSON.stringify({ ...entry, inclusionPromise: null });
  expect(given).toEqual({ status: 201, contentType: "application/json", body: wanted });
});
