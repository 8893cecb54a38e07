/** The door's routes for timestamps and Rekor v2: types, limits and statuses, with the rooms behind it played by fakes. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { bootDoor, type Door } from "../support/door.ts";

let door: Door;
const granted = { granted: true, response: new Uint8Array([0x30, 0]) };
beforeAll(async () => {
  door = await bootDoor({ rekorV2Log: "rekor-v2" });
});
beforeEach(() => {
  door.heard.length = 0;
  door.answer["createTimestamp"] = granted;
});
afterAll(async () => await door.dispose());

async function post(path: string, type: string, body: Uint8Array | string): Promise<Response> {
  return await fetch(`${door.origin}${path}`, {
    method: "POST",
    headers: { "content-type": type },
    body: typeof body === "string" ? body : Buffer.from(body),
  });
}

const path = "/api/v1/timestamp";

test.for([
  ["application/timestamp-query", "query"],
  ["Application/Timestamp-Query; charset=utf-8", "query"],
  ["application/json", "json"],
  ['application/json;charset="UTF-8"', "json"],
] as const)("POST %s is asked as %s", async ([type, form]) => {
  const response = await post(path, type, "{}");
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("application/timestamp-reply");
  expect(await response.bytes()).toEqual(granted.response);
  expect(door.heard).toMatchObject([{ name: "createTimestamp", question: { form } }]);
});

test.for([
  "text/plain",
  "application/timestamp-reply",
  "application/timestamp-query, application/json",
  "application/timestamp-query; a=b; c=d",
  `application/json${";".repeat(8_000)}`,
  "application/".repeat(800),
])("POST as %s is 415", async (type) => {
  expect((await post(path, type, "{}")).status).toBe(415);
  expect(door.heard).toEqual([]);
});

test("a rejection is 400: in DER to who sent DER, in JSON to who sent JSON", async () => {
  door.answer["createTimestamp"] = { granted: false, response: new Uint8Array([0x30, 0]) };
  const query = await post(path, "application/timestamp-query", "x");
  expect([query.status, query.headers.get("content-type")]).toEqual([
    400,
    "application/timestamp-reply",
  ]);
  const json = await post(path, "application/json", "{}");
  expect([json.status, json.headers.get("content-type")]).toEqual([400, "application/json"]);
});

test.for([
  ["time-unavailable", 503],
  ["key-unavailable", 503],
  ["not-found", 404],
  ["malformed", 400],
  ["internal", 500],
] as const)("a failure %s is %i", async ([code, status]) => {
  door.answer["createTimestamp"] = code;
  const response = await post(path, "application/timestamp-query", "x");
  expect(response.status).toBe(status);
  expect(response.headers.has("retry-after")).toBe(status === 503);
  expect(await response.text()).not.toContain("secret");
});

test("a request of 16 KiB is read, one of a byte more is 413", async () => {
  const type = "application/timestamp-query";
  expect((await post(path, type, new Uint8Array(16_384))).status).toBe(200);
  expect((await post(path, type, new Uint8Array(16_385))).status).toBe(413);
});

test("the chain is PEM, the authority's own certificate first", async () => {
  const response = await fetch(`${door.origin}${path}/certchain`);
  expect(response.status).toBe(200);
  const text = await response.text();
  expect(text.match(/-----BEGIN CERTIFICATE-----/g)).toHaveLength(2);
  expect(text.indexOf("MAA=")).toBeLessThan(text.indexOf("MAEA"));
});

test("a Rekor v2 entry is 201, with every member printed", async () => {
  const response = await post("/api/v2/log/entries", "application/json", "{}");
  expect(response.status).toBe(201);
  expect(await response.json()).toEqual({
    logIndex: "0",
    logId: { keyId: expect.any(String) as string },
    kindVersion: { kind: "hashedrekord", version: "0.0.2" },
    integratedTime: "0",
    inclusionPromise: null,
    inclusionProof: {
      logIndex: "0",
      rootHash: expect.any(String) as string,
      treeSize: "1",
      hashes: [],
      checkpoint: { envelope: "localhost\n1\n\u2014\n" },
    },
    canonicalizedBody: "e30=",
  });
});

test.for([
  ["malformed", 400, 3, "invalid hashedrekord request"],
  ["entry-unsupported", 400, 3, "invalid type, must be hashedrekord"],
  ["overloaded", 503, 14, "service unavailable, try again later"],
] as const)("Rekor v2 words %s as %i", async ([failure, status, code, message]) => {
  const before = door.answer["createEntryV2"];
  door.answer["createEntryV2"] = failure;
  const response = await post("/api/v2/log/entries", "application/json", "{}");
  door.answer["createEntryV2"] = before;
  expect(response.status).toBe(status);
  expect(await response.json()).toEqual({ code, message, details: [] });
});

test.for(["/checkpoint", "/api/v2/checkpoint", "/logs/rekor-v2/checkpoint"])(
  "%s is the v2 log's",
  async (at) => {
    expect((await fetch(`${door.origin}${at}`)).status).toBe(200);
    expect(door.heard).toMatchObject([{ name: "latestHead", question: { log: "rekor-v2" } }]);
  },
);

test.for(["/tile/0/000", "/api/v2/tile/0/000", "/logs/rekor-v2/tile/0/000"])(
  "%s is the v2 log's",
  async (at) => {
    expect((await fetch(`${door.origin}${at}`)).status).toBe(200);
    expect(door.heard).toMatchObject([{ name: "readTile", question: { log: "rekor-v2" } }]);
  },
);

test("without a v2 log there is nothing at the origin", async () => {
  await using bare = await bootDoor();
  expect((await fetch(`${bare.origin}/checkpoint`)).status).toBe(404);
  expect((await fetch(`${bare.origin}/tile/0/000`)).status).toBe(404);
});
