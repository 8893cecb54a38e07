/** Bad bodies and queries, made from a good request. */
import { type Case, raw, wish } from "./door-case.ts";
import type { Row } from "./door-material.ts";
import { marker } from "./outcome.ts";

/** HB19 and HB21: encodings and media types. */
export function types({ good, body }: Row): readonly Case[] {
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

/** HB23: bodies that are too large. */
export function sizes({ good, maxBytes = 0 }: Row): readonly Case[] {
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

/** HB25 to HB31: what is wrong with JSON. */
export function jsons({ good, status, signs, strict, api }: Row): readonly Case[] {
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
      ...body(
        "HB31",
        "an unknown member",
        `{"${marker}":{"a":[1]},${text.slice(1)}`,
        strict ? malformed : [status],
      ),
      allowance: { mayLog: signs === true },
    },
  ];
}

/** The same for forms. */
export function forms({ good }: Row): readonly Case[] {
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
export function queries({ good }: Row): readonly Case[] {
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
