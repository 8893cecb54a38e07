/** RFC 6962 over HTTP: the bytes of every good answer, and every class of bad question on every endpoint. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { FailureCode } from "../../events/failure.ts";
import { bootDoor, type Door, hash, sendRaw } from "../support/door.ts";

let door: Door;
beforeAll(async () => {
  door = await bootDoor();
});
afterAll(async () => await door.dispose());
beforeEach(() => {
  door.heard.length = 0;
});

const base = "/logs/some-log/ct/v1";
const base64 = Buffer.from(hash).toString("base64");
const escaped = encodeURIComponent(base64);
const der = "MAA=";

async function ask(path: string, body?: string): Promise<[number, string, string | null]> {
  const response = await fetch(`${door.origin}${path}`, {
    ...(body !== undefined && {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    }),
  });
  return [response.status, await response.text(), response.headers.get("content-type")];
}

const sct = `{"sct_version":0,"id":"${base64}","timestamp":5,"extensions":"","signature":"BAM="}`;

test.each<[string, string | undefined, string]>([
  ["add-chain", `{"chain":["${der}"]}`, sct],
  ["add-pre-chain", `{"chain":["${der}","${der}"]}`, sct],
  [
    "get-sth",
    undefined,
    `{"tree_size":9,"timestamp":5,"sha256_root_hash":"${base64}","tree_head_signature":"BAM="}`,
  ],
  ["get-sth-consistency?first=1&second=2", undefined, `{"consistency":["${base64}"]}`],
  [
    `get-proof-by-hash?hash=${escaped}&tree_size=9`,
    undefined,
    `{"leaf_index":3,"audit_path":["${base64}"]}`,
  ],
  [
    `get-proof-by-hash?tree_size=9&hash=${escaped}`,
    undefined,
    `{"leaf_index":3,"audit_path":["${base64}"]}`,
  ],
  [
    "get-entries?start=0&end=9223372036854775807",
    undefined,
    `{"entries":[{"leaf_input":"AQ==","extra_data":"Ag=="}]}`,
  ],
  [
    "get-entry-and-proof?leaf_index=0&tree_size=9",
    undefined,
    `{"leaf_input":"AQ==","extra_data":"Ag==","audit_path":["${base64}"]}`,
  ],
  ["get-roots", undefined, `{"certificates":["${der}"]}`],
])("%s answers exactly this", async (path, body, answer) => {
  expect(await ask(`${base}/${path}`, body)).toEqual([200, answer, "application/json"]);
  expect(door.heard).toEqual([
    expect.objectContaining({ question: expect.objectContaining({ log: "some-log" }) }),
  ]);
});

const many = (count: number) => JSON.stringify({ chain: Array.from({ length: count }, () => der) });
const bodies: readonly [string, string][] = [
  ["nothing", ""],
  ["no JSON", "{"],
  ["null", "null"],
  ["a list", `["${der}"]`],
  ["no chain", "{}"],
  ["a chain that is null", '{"chain":null}'],
  ["a chain that is text", `{"chain":"${der}"}`],
  ["a chain that is an object", '{"chain":{"0":"MAA="}}'],
  ["an empty chain", '{"chain":[]}'],
  ["a number in it", '{"chain":[1]}'],
  ["a null in it", '{"chain":[null]}'],
  ["a list in it", `{"chain":[["${der}"]]}`],
  ["what is not base64", '{"chain":["*"]}'],
  ["base64 without its pads", '{"chain":["MAA"]}'],
  ["base64 for URLs", '{"chain":["MP-_"]}'],
  ["a line end in base64", '{"chain":["MA\\nA="]}'],
  ["eleven certificates", many(11)],
  ["a thousand certificates", many(1_000)],
  ["a certificate of 64 KiB and a byte", `{"chain":["${"A".repeat(87_388)}"]}`],
  ["the chain twice", `{"chain":["${der}"],"chain":["${der}"]}`],
  ["depth 100", "[".repeat(100) + "]".repeat(100)],
  ["a lone surrogate", '{"chain":["\\ud800"]}'],
];

describe.each(["add-chain", "add-pre-chain"])("%s refuses", (name) => {
  test.each(bodies)("%s", async (_, body) => {
    const refused = [400, "bad request\n", "text/plain; charset=utf-8"];
    expect(await ask(`${base}/${name}`, body)).toEqual(refused);
    expect(door.heard).toEqual([]);
  });

  test.each([
    [524_289, "413 Payload Too Large"],
    [1_073_741_824, "413 Payload Too Large"],
  ])("a body of %i bytes, of which it need not see one", async (length, status) => {
    const head = [
      `POST ${base}/${name} HTTP/1.1`,
      "Host: localhost",
      "Content-Type: application/json",
      `Content-Length: ${length}`,
    ];
    const answer = await sendRaw(door.port, `${head.join("\r\n")}\r\n\r\n`);
    expect(answer).toContain(`HTTP/1.1 ${status}\r\n`);
    expect(answer).toContain("request body too large\n");
    expect(door.heard).toEqual([]);
  });

  test("another type of body, a coded one, and another method", async () => {
    const statuses = [
      { method: "POST", body: "{}", headers: { "content-type": "text/plain" } },
      { method: "POST", body: "{}", headers: { "content-encoding": "gzip" } },
      { method: "GET" },
      { method: "PUT" },
      { method: "DELETE" },
    ].map(async (init) => (await fetch(`${door.origin}${base}/${name}`, init)).status);
    expect(await Promise.all(statuses)).toEqual([415, 415, 405, 405, 405]);
    expect(door.heard).toEqual([]);
  });
});

/** Every number of every endpoint. */
const numbers: readonly [string, string][] = [
  ["get-sth-consistency?second=2&first=", "1"],
  ["get-sth-consistency?first=1&second=", "2"],
  [`get-proof-by-hash?hash=${escaped}&tree_size=`, "1"],
  ["get-entries?end=9&start=", "1"],
  ["get-entries?start=0&end=", "1"],
  ["get-entry-and-proof?tree_size=9&leaf_index=", "1"],
  ["get-entry-and-proof?leaf_index=0&tree_size=", "1"],
];
const noNumbers = [
  "",
  "-1",
  "+1",
  "%2B1",
  "01",
  "1.0",
  "1e3",
  "0x1",
  "1_0",
  "%201",
  "1%20",
  "NaN",
  "null",
  "9223372036854775808",
  "18446744073709551616",
  "1%00",
  "%D9%A1",
  "1%",
];

describe.each(numbers)("GET %s", (query, good) => {
  test("takes a number", async () => {
    expect((await ask(`${base}/${query}${good}`))[0]).toBe(200);
  });

  test.each(noNumbers)("refuses %j", async (text) => {
    expect(await ask(`${base}/${query}${text}`)).toEqual([
      400,
      "bad request\n",
      "text/plain; charset=utf-8",
    ]);
    expect(door.heard).toEqual([]);
  });

  test("refuses the parameter twice, and without it", async () => {
    const name = query.slice(query.lastIndexOf("&") + 1);
    const without = query.includes("&") ? query.slice(0, query.lastIndexOf("&")) : query;
    expect((await ask(`${base}/${query}${good}&${name}${good}`))[0]).toBe(400);
    expect((await ask(`${base}/${without}`))[0]).toBe(400);
    expect(door.heard).toEqual([]);
  });
});

test.each([
  "",
  "AA%3D%3D",
  "%00",
  base64.slice(0, -1),
  `${escaped}%3D`,
  encodeURIComponent(Buffer.alloc(31).toString("base64")),
  encodeURIComponent(Buffer.alloc(33).toString("base64")),
  "ab".repeat(32),
])("get-proof-by-hash refuses the hash %j", async (text) => {
  expect((await ask(`${base}/get-proof-by-hash?hash=${text}&tree_size=1`))[0]).toBe(400);
  expect(door.heard).toEqual([]);
});

test("get-entries refuses a start after the end", async () => {
  expect((await ask(`${base}/get-entries?start=5&end=4`))[0]).toBe(400);
  expect(door.heard).toEqual([]);
});

test.each([
  "/logs/A/ct/v1/get-sth",
  "/logs/-a/ct/v1/get-sth",
  `/logs/${"a".repeat(33)}/ct/v1/get-sth`,
  "/logs/a/ct/v1",
  "/logs/a/ct/v1/",
  "/logs/a/ct/v2/get-sth",
  "/logs/a/ct/v1/get-sth/",
  "/logs/a/ct/v1/GET-STH",
  "/logs//ct/v1/get-sth",
])("%s is nowhere", async (path) => {
  expect((await ask(path))[0]).toBe(404);
  expect(door.heard).toEqual([]);
});

describe("what goes wrong inside is told by status alone", () => {
  test.each<[FailureCode, number]>([
    ["chain-rejected", 400],
    ["malformed", 400],
    ["not-found", 404],
    ["log-frozen", 410],
    ["log-unavailable", 503],
    ["overloaded", 503],
    ["deadline-exceeded", 504],
    ["internal", 500],
  ])("%s is %i", async (code, status) => {
    const { addPreChain } = door.answer;
    door.answer["addPreChain"] = code;
    const response = await fetch(`${door.origin}${base}/add-pre-chain`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: `{"chain":["${der}"]}`,
    });
    door.answer["addPreChain"] = addPreChain;
    expect(response.status).toBe(status);
    expect(await response.text()).not.toContain("secret");
    // What certificate-transparency-go's client waits for before it asks again.
    const retry = response.headers.get("retry-after");
    if (status === 503) expect(Number(retry)).toBeGreaterThan(0);
    else expect(retry).toBeNull();
  });
});
