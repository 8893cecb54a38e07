/** The bad inputs that every HTTP endpoint must bear (HB1 to HB39 of the reliability catalogue), made from a good request. */
import type { Reply, Transport } from "./door-client.ts";
import type { Row } from "./door-material.ts";
import { type Allowance, marker } from "./outcome.ts";

/** How a case talks to the door; without `bytes` the protocol has no such thing. */
export interface Speak {
  readonly wish: Transport;
  readonly bytes?: (text: string | Uint8Array) => Promise<readonly Reply[]>;
}

/** One bad input. */
export interface Case {
  readonly id: string;
  readonly name: string;
  /** Those that are right; 0 is a connection that is closed without a word. */
  readonly statuses: readonly number[];
  readonly allowance?: Allowance;
  run(speak: Speak): Promise<readonly Reply[]>;
}

/** Every class of cases for a route. */
export function casesFor(row: Row): readonly Case[] {
  return [
    ...framing(row),
    ...targets(row),
    ...methods(row),
    ...fields(row),
    ...protocols(row),
    ...(row.body === undefined ? queries(row) : [...types(row), ...sizes(row)]),
    ...(row.body === "json" ? jsons(row) : []),
    ...(row.body === "form" ? forms(row) : []),
  ];
}

/** 405: the path of another route, which does not take this method. */
const refused = [400, 404, 405];

/** A request of its own bytes, good but for what is said. */
function bytesOf(
  row: Row,
  changes: { line?: string; headers?: readonly string[]; end?: string } = {},
) {
  const { method, path, headers = {}, body = "" } = row.good;
  const end = changes.end ?? "\r\n";
  const length = method === "POST" ? [`Content-Length: ${Buffer.byteLength(body)}`] : [];
  const lines = [
    changes.line ?? `${method} ${path} HTTP/1.1`,
    "Host: localhost",
    "Connection: close",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(changes.headers ?? length),
  ];
  return `${lines.join(end)}${end}${end}${String(body)}`;
}

function raw(id: string, name: string, statuses: readonly number[], text: string): Case {
  return { id, name, statuses, run: async ({ bytes }) => (await bytes?.(text)) ?? [] };
}

function wish(id: string, name: string, statuses: readonly number[], what: Row["good"]): Case {
  return { id, name, statuses, run: async (speak) => [await speak.wish(what)] };
}

function framing(row: Row): readonly Case[] {
  const lengths = ["-1", "+5", "0x5", "18446744073709551616", "5, 5", "5 5", "a"];
  return [
    raw(
      "HB5",
      "a length and a transfer encoding",
      [400],
      bytesOf(row, { headers: ["Content-Length: 5", "Transfer-Encoding: chunked"] }),
    ),
    ...lengths.map((length) =>
      raw(
        "HB7",
        `length ${length}`,
        [400],
        bytesOf(row, { headers: [`Content-Length: ${length}`] }),
      ),
    ),
    raw("HB9", "bare line feeds", [400], bytesOf(row, { end: "\n" })),
  ];
}

function targets({ good }: Row): readonly Case[] {
  const [path = ""] = good.path.split("?", 1);
  const absolute = ["http://169.254.169.254/", "http://localhost", "//169.254.169.254/"].map(
    (prefix) => `${prefix}${marker}${good.path}`,
  );
  const twisted = [
    `/..%2f..%2fsecrets/${marker}`,
    `${path}/..%2f..%2fsecrets%2fpin`,
    `/%2e%2e${path}`,
    `/.${path}`,
    `${path}/../${marker}`,
    `/..\\secrets\\pin${path}`,
    `${path}/%252e%252e/${marker}`,
    `${path}/%c0%ae%c0%ae/${marker}`,
    `/${marker}/${path}`,
    `${path}/${marker}//`,
    `${path}%00`,
    `${path};a=b`,
  ];
  return [
    ...absolute.map((target) =>
      raw(
        "HB11",
        `the target ${target.slice(0, 30)}`,
        refused,
        `${good.method} ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
      ),
    ),
    ...twisted.map((target) => wish("HB15", target, refused, { ...good, path: target })),
  ];
}

function methods(row: Row): readonly Case[] {
  const names = ["TRACE", "PROPFIND", "FOO", "get", "A".repeat(1_024), "CONNECT"];
  const others = ["PUT", "PATCH", "DELETE", "OPTIONS"];
  const withAllow = async (replies: readonly Reply[]): Promise<readonly Reply[]> => {
    if (replies.some(({ headers }) => headers["allow"] === undefined)) {
      throw new Error("an answer names no methods that are allowed");
    }
    return await Promise.resolve(replies);
  };
  return [
    ...names.map((name): Case => {
      const text = bytesOf(row, { line: `${name} ${row.good.path} HTTP/1.1`, headers: [] });
      const inner = raw("HB17", name.slice(0, 20), [405, 501], text);
      return {
        ...inner,
        run: async (speak) => (speak.bytes ? await withAllow(await inner.run(speak)) : []),
      };
    }),
    ...others.map((method): Case => {
      const inner = wish("HB17", method, [405], { ...row.good, method });
      return { ...inner, run: async (speak) => await withAllow(await inner.run(speak)) };
    }),
  ];
}

function fields(row: Row): readonly Case[] {
  const inherited = ["__proto__", "constructor", "toString", "hasOwnProperty"];
  // A body that is refused, so that the answer depends on nothing else.
  const bad = row.body === undefined ? row.good : { ...row.good, body: "{" };
  const known = row.body === undefined ? [row.status] : [400, 422];
  const named = inherited.map((name) => [name.toLowerCase(), marker]);
  const many = Array.from({ length: 2_500 }, (_, at) => `X-${at}: ${marker}`);
  const ranges = Array.from({ length: 1_000 }, (_, at) => `${at}-${at}`).join(",");
  return [
    wish("HB13", "names that every object has", known, {
      ...bad,
      headers: { ...bad.headers, ...Object.fromEntries(named) },
    }),
    raw("HB13", "too much header", [431], bytesOf(row, { headers: many })),
    ...["bytes=0-", "bytes=-1", `bytes=${ranges}`].map((range) =>
      wish("HB39", `Range: ${range.slice(0, 20)}`, known, {
        ...bad,
        headers: { ...bad.headers, range },
      }),
    ),
    raw(
      "HB35",
      "another expectation",
      [417],
      bytesOf({ ...row, good: { ...row.good, body: "" } }, { headers: [`Expect: ${marker}`] }),
    ),
    raw(
      "HB35",
      "an upgrade to WebSocket",
      [400],
      bytesOf(row, {
        line: `GET ${row.good.path} HTTP/1.1`,
        headers: ["Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="],
      }).replace("Connection: close", "Connection: Upgrade, close"),
    ),
  ];
}

function protocols(row: Row): readonly Case[] {
  const { method, path } = row.good;
  const chunked = `${method} ${path} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
  const one = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n`;
  const pipelined: Case = {
    id: "HB33",
    name: "a thousand requests at once on one connection",
    // The last that a connection may have is answered, what follows is not.
    statuses: method === "GET" ? [row.status, 503] : [415],
    allowance: { cpuMs: 8_000, answerMs: 15_000 },
    run: async ({ bytes }) => {
      const close = one.replace("Content-Length", "Connection: close\r\nContent-Length");
      const replies = await bytes?.(one.repeat(999) + close);
      return [...new Map(replies?.map((reply) => [reply.status, reply])).values()];
    },
  };
  return [
    raw(
      "HB33",
      "an HTTP/2 preface",
      [400, 405],
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    ),
    raw("HB33", "HTTP/0.9", [0, 400, 415, row.status], `${method} ${path}\r\n\r\n`),
    raw("HB33", "HTTP/1.0 with chunks", [0, row.status, 400, 415], chunked),
    pipelined,
  ];
}

function types({ good, body }: Row): readonly Case[] {
  const right = good.headers?.["content-type"] ?? "";
  const without = Object.fromEntries(
    Object.entries(good.headers ?? {}).filter(([name]) => name !== "content-type"),
  );
  const wrong = [
    "text/plain",
    `${right}; charset=utf-16`,
    `multipart/form-data; boundary=${right}`,
    `${right}x`,
    `${right}, ${right}`,
    body === "json" ? "application/x-www-form-urlencoded" : "application/json",
    `${right}; ${"a".repeat(12_000)}`,
  ];
  const encodings = ["gzip", "br", "zstd", "deflate", Array(500).fill("gzip").join(", ")];
  const with_ = (headers: object) => ({ ...good, headers: { ...good.headers, ...headers } });
  return [
    ...encodings.map((encoding) =>
      wish("HB19", encoding.slice(0, 20), [415], with_({ "content-encoding": encoding })),
    ),
    ...wrong.map((type) => wish("HB21", type.slice(0, 60), [415], with_({ "content-type": type }))),
    wish("HB21", "none", [415], { ...good, headers: without }),
    raw(
      "HB21",
      "two",
      [415],
      `POST ${good.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: ${right}\r\nContent-Type: ${right}\r\nContent-Length: 2\r\n\r\n{}`,
    ),
    raw(
      "HB21",
      "a mebibyte of it",
      [431, 0],
      `POST ${good.path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${"a".repeat(2 ** 20)}\r\n\r\n`,
    ),
  ];
}

function sizes({ good, maxBytes = 0 }: Row): readonly Case[] {
  const { body = "" } = good;
  const over = `${String(body)}${" ".repeat(maxBytes + 1 - Buffer.byteLength(body))}`;
  const head = [
    `POST ${good.path} HTTP/1.1\r\nHost: localhost`,
    ...Object.entries(good.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
  ].join("\r\n");
  const chunk = `${over.length.toString(16)}\r\n${over}\r\n`;
  return [
    // The body never comes: who says so much need not even begin.
    raw(
      "HB23",
      "announced",
      [413],
      `${head}\r\nContent-Length: ${maxBytes + 1}\r\n\r\n${String(body)}`,
    ),
    raw("HB23", "in a chunk", [413], `${head}\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`),
    { ...wish("HB23", "sent", [413, 0], { ...good, body: over }), allowance: { cpuMs: 1_000 } },
  ];
}

function jsons({ good, status, signs, api }: Row): readonly Case[] {
  const text = String(good.body);
  const value = JSON.parse(text) as object;
  const malformed = api === "rekor" ? [400, 422] : [400];
  const body = (id: string, name: string, what: string | Uint8Array, statuses = malformed): Case =>
    wish(id, name, statuses, { ...good, body: what });
  const names = Object.keys(value);
  const strings = [...new Set(text.match(/"(?:[^"\\]|\\.)*"/g))];
  const spoiled = strings.flatMap((string) =>
    [
      ["a lone surrogate", "\\ud800"],
      ["U+0000", "\\u0000"],
      ["a noncharacter", "\\uffff"],
      ["a byte that UTF-8 has not", Uint8Array.of(0xff)],
      ["an overlong slash", Uint8Array.of(0xc0, 0xaf)],
      ["a plain noncharacter", "\ufdd0"],
      ["a plain NUL", "\0"],
    ].map(([name = "", bad = ""]) =>
      body(
        "HB29",
        `${String(name)} in ${string.slice(0, 24)}`,
        Buffer.concat([
          Buffer.from(text.slice(0, text.indexOf(string) + string.length - 1)),
          Buffer.from(bad),
          Buffer.from(text.slice(text.indexOf(string) + string.length - 1)),
        ]),
      ),
    ),
  );
  return [
    ...names.map((name) =>
      body("HB25", `${name} twice`, `{${JSON.stringify(name)}:null,${text.slice(1)}`),
    ),
    body("HB25", "an unknown member twice", `{"${marker}":1,"${marker}":1,${text.slice(1)}`),
    body("HB25", "two spellings", `{"a":1,"\\u0061":1,${text.slice(1)}`),
    body("HB27", "depth 65", `{"${marker}":${"[".repeat(64)}${"]".repeat(64)},${text.slice(1)}`),
    body("HB27", "depth 65 of objects", `${'{"a":'.repeat(65)}1${"}".repeat(65)}`),
    body("HB27", "depth 1,000,000", "[".repeat(1_000_000), [...malformed, 413, 0]),
    ...spoiled,
    ...["", "{", "null", "[]", '"a"', "1e999", `${text}x`, `\ufeff${text}`, "{'a':1}", "NaN"].map(
      (bad) => body("HB29", JSON.stringify(bad.slice(0, 20)), bad),
    ),
    {
      ...body("HB31", "an unknown member", `{"${marker}":{"a":[1]},${text.slice(1)}`, [status]),
      allowance: { mayLog: signs === true },
    },
  ];
}

function forms({ good }: Row): readonly Case[] {
  const text = String(good.body);
  const bad = [
    ["HB25", `${text}&email=${marker}%40example.com`],
    ["HB25", `${text}&%65mail=a%40example.com`],
    ["HB29", `${text}%ff`],
    ["HB29", `${text}%c0%af`],
    ["HB29", `${text}%00`],
    ["HB29", `${text}%`],
    ["HB29", `${text}\0`],
    ["HB29", `${text}\ud800`],
    ["HB29", "{}"],
    ["HB27", Array.from({ length: 40 }, (_, at) => `a${at}=1`).join("&")],
  ] as const;
  return bad.map(([id, body]) => wish(id, body.slice(-20), [400], { ...good, body }));
}

/** For reads the query is what the body is for the others. */
function queries({ good }: Row): readonly Case[] {
  const mark = good.path.includes("?") ? "&" : "?";
  return (
    [
      ["HB25", "a=1&a=1"],
      ["HB25", "a=1&%61=1"],
      ["HB29", "a=%ff"],
      ["HB29", "a=%c0%af"],
      ["HB29", "a=%"],
      ["HB29", "a=%00"],
      ["HB29", "a=%ed%a0%80"],
      ["HB23", `a=${"a".repeat(4_200)}`],
    ] as const
  ).map(([id, query]) =>
    wish(id, query.slice(0, 20), [400], { ...good, path: `${good.path}${mark}${query}` }),
  );
}
