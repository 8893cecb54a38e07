/** The bad inputs that every HTTP endpoint must bear (HB1 to HB39 of the reliability catalogue), made from a good request. */
import { forms, jsons, queries, sizes, types } from "./door-body-cases.ts";
import { type Case, raw, wish } from "./door-case.ts";
import type { Reply } from "./door-client.ts";
import type { Row } from "./door-material.ts";
import { marker } from "./outcome.ts";

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
