/** Requests that were good until something was done to them: to the JSON's structure, to the bytes inside its strings, to the whole. */
import { fc } from "@fast-check/vitest";
import type { Wish } from "../support/door-client.ts";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Path = readonly (string | number)[];

/** A mutated request and how it was made. */
export interface Mutant {
  readonly wish: Wish;
  readonly how: string;
}

const large = "A".repeat(70_000);
const strangers: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(
    null,
    true,
    0,
    -1,
    1.5,
    2 ** 53,
    1e308,
    "",
    "0",
    " ",
    "\u202e",
    large,
    [],
    {},
  ),
  fc.constantFrom<Json>(
    "__proto__",
    "constructor",
    "../../secrets/pin",
    "' OR 1=1 --",
    "${7*7}",
    "%00",
  ),
  fc.string({ unit: "binary", maxLength: 40 }).filter((text) => text.isWellFormed()),
  fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<Json>,
);

/** Mutations of one good request. */
export function mutantsOf(good: Wish): fc.Arbitrary<Mutant> {
  if (good.method === "GET") return queryMutants(good);
  const text = String(good.body);
  const whole = byteMutants(Buffer.from(text), "body").map(({ bytes, how }) => ({
    how,
    wish: { ...good, body: bytes },
  }));
  const tokens = good.headers?.["authorization"];
  const headers =
    tokens === undefined
      ? []
      : [
          fc.string({ unit: "grapheme-ascii", maxLength: 60 }).map((authorization) => ({
            how: "authorization",
            wish: { ...good, headers: { ...good.headers, authorization: authorization.trim() } },
          })),
        ];
  if (!text.startsWith("{")) return fc.oneof(whole, ...headers);
  const value = JSON.parse(text) as Json;
  const structural = fc
    .array(structure(value), { minLength: 1, maxLength: 2 })
    .map((steps): Mutant => {
      const body = steps.reduce((at, { change }) => change(at), value);
      return { how: steps.map(({ how }) => how).join("; "), wish: { ...good, body: render(body) } };
    });
  const twice = fc
    .constantFrom(...pathsOf(value).filter((path) => path.length > 0))
    .map((path): Mutant => ({
      how: `duplicate ${path.join(".")}`,
      wish: { ...good, body: duplicate(text, path) },
    }));
  return fc.oneof({ weight: 6, arbitrary: structural }, { weight: 1, arbitrary: twice }, whole);
}

interface Step {
  readonly how: string;
  readonly change: (value: Json) => Json;
}

function structure(value: Json): fc.Arbitrary<Step> {
  const paths = pathsOf(value);
  const leaves = paths.filter((path) => typeof at(value, path) === "string");
  const anywhere = fc.constantFrom(...paths);
  const remove = anywhere.map((path) => ({
    how: `delete ${path.join(".")}`,
    change: (json: Json) => replace(json, path, undefined),
  }));
  const swap = fc.tuple(anywhere, strangers).map(([path, other]) => ({
    how: `${path.join(".")} = ${JSON.stringify(other).slice(0, 60)}`,
    change: (json: Json) => replace(json, path, other),
  }));
  const nest = fc.tuple(anywhere, fc.constantFrom(1, 2, 60, 70, 5_000)).map(([path, depth]) => ({
    how: `${path.join(".")} nested ${depth} deep`,
    change: (json: Json) => replace(json, path, nested(depth)),
  }));
  const inside = fc.constantFrom(...leaves).chain((path) =>
    textMutants(textAt(value, path)).map(({ text, how }) => ({
      how: `${path.join(".")}: ${how}`,
      change: (json: Json) => replace(json, path, text),
    })),
  );
  return fc.oneof(remove, swap, nest, { weight: 4, arbitrary: inside });
}

/** Of text that may be base64, PEM, a JWT or plain: each is opened, changed inside and closed again. */
export function textMutants(
  text: string,
): fc.Arbitrary<{ readonly text: string; readonly how: string }> {
  const characters = fc
    .tuple(
      fc.nat(Math.max(0, text.length - 1)),
      fc.string({ unit: "binary", minLength: 1, maxLength: 2 }),
    )
    .filter(([, other]) => other.isWellFormed())
    .map(([position, other]) => ({
      text: text.slice(0, position) + other + text.slice(position + 1),
      how: `character ${position}`,
    }));
  const variants = fc
    .constantFrom(
      `${text}=`,
      ` ${text}`,
      `${text}\n`,
      text.toUpperCase(),
      text + text,
      text.slice(1),
    )
    .map((variant) => ({ text: variant, how: "spelling" }));
  const forms: fc.Arbitrary<{ readonly text: string; readonly how: string }>[] = [];
  const pem = /^(-----BEGIN [A-Z ]+-----\n)([\s\S]+)(-----END [A-Z ]+-----\n?)$/.exec(text);
  if (pem) {
    forms.push(
      byteMutants(Buffer.from(pem[2] ?? "", "base64"), "DER in PEM").map(({ bytes, how }) => ({
        text: `${pem[1]}${Buffer.from(bytes).toString("base64")}\n${pem[3]}`,
        how,
      })),
    );
  } else if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) {
    const parts = text.split(".");
    forms.push(
      fc.nat(2).chain((part) =>
        byteMutants(Buffer.from(parts[part] ?? "", "base64url"), `JWT part ${part}`).map(
          ({ bytes, how }) => ({
            text: parts.with(part, Buffer.from(bytes).toString("base64url")).join("."),
            how,
          }),
        ),
      ),
    );
  } else if (/^[A-Za-z0-9+/]{16,}=*$/.test(text)) {
    forms.push(
      byteMutants(Buffer.from(text, "base64"), "base64").map(({ bytes, how }) => ({
        text: Buffer.from(bytes).toString("base64"),
        how,
      })),
    );
  }
  return fc.oneof(characters, variants, ...forms.map((arbitrary) => ({ weight: 3, arbitrary })));
}

/** Flips, cuts, insertions and repetitions. */
export function byteMutants(
  bytes: Uint8Array,
  what: string,
): fc.Arbitrary<{ readonly bytes: Uint8Array; readonly how: string }> {
  const place = fc.nat(Math.max(0, bytes.length - 1));
  const flip = fc.tuple(place, fc.integer({ min: 1, max: 255 })).map(([position, mask]) => ({
    bytes: bytes.map((byte, index) => (index === position ? byte ^ mask : byte)),
    how: `${what}: byte ${position} ^ ${mask}`,
  }));
  const cut = place.map((position) => ({
    bytes: bytes.slice(0, position),
    how: `${what}: cut at ${position}`,
  }));
  const insert = fc
    .tuple(place, fc.uint8Array({ minLength: 1, maxLength: 9 }))
    .map(([position, more]) => ({
      bytes: Buffer.concat([bytes.slice(0, position), more, bytes.slice(position)]),
      how: `${what}: ${more.length} bytes more at ${position}`,
    }));
  return fc.oneof({ weight: 3, arbitrary: flip }, cut, insert);
}

function queryMutants(good: Wish): fc.Arbitrary<Mutant> {
  const [path = "", query = ""] = good.path.split("?");
  const values = fc.oneof(
    fc.constantFrom(
      "",
      "-1",
      "+1",
      "01",
      "1e3",
      "0x1",
      "9223372036854775808",
      "18446744073709551615",
    ),
    fc.bigInt(0n, 2n ** 66n).map(String),
    fc
      .string({ unit: "binary", maxLength: 20 })
      .filter((text) => text.isWellFormed())
      .map(encodeURIComponent),
    fc.string({
      unit: fc.constantFrom("%", "&", "=", "+", ";", "?", "/", ".", "0", "a", "~"),
      maxLength: 20,
    }),
  );
  const parameters = query.split("&").filter((part) => part !== "");
  const names = [...parameters.map((part) => part.split("=")[0] ?? ""), "treeID", "x", "__proto__"];
  const changed = fc.array(fc.tuple(fc.constantFrom(...names), values), {
    minLength: 1,
    maxLength: 3,
  });
  const queries = changed.map((pairs): Mutant => {
    const kept = parameters.filter((part) => !pairs.some(([name]) => part.startsWith(`${name}=`)));
    const all = [...kept, ...pairs.map(([name, value]) => `${name}=${value}`)].join("&");
    return { how: "query", wish: { ...good, path: `${path}?${all}` } };
  });
  const segments = fc.tuple(fc.nat(path.length - 1), values).map(([position, value]): Mutant => ({
    how: "path",
    wish: {
      ...good,
      path: `/${(path.slice(0, position) + value + path.slice(position + 1)).replace(/^\/+/, "")}`,
    },
  }));
  return fc.oneof(queries, segments);
}

function pathsOf(value: Json, above: Path = []): readonly Path[] {
  if (typeof value !== "object" || value === null) return [above];
  return [above, ...Object.entries(value).flatMap(([name, one]) => pathsOf(one, [...above, name]))];
}

function at(value: Json, [name, ...rest]: Path): Json {
  if (name === undefined || typeof value !== "object" || value === null) return value;
  return at((value as { [name: string]: Json })[name] ?? null, rest);
}

function textAt(value: Json, path: Path): string {
  const found = at(value, path);
  return typeof found === "string" ? found : "";
}

/** `other` undefined takes the member away. */
function replace(value: Json, [name, ...rest]: Path, other: Json | undefined): Json {
  if (name === undefined) return other ?? null;
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).flatMap(([key, one]): [string, Json][] => {
    if (key !== String(name)) return [[key, one]];
    return rest.length === 0 && other === undefined ? [] : [[key, replace(one, rest, other)]];
  });
  return Array.isArray(value) ? members.map(([, one]) => one) : Object.fromEntries(members);
}

function nested(depth: number): Json {
  return `\0${depth}`;
}

/** A placeholder stands for nesting that JSON.stringify could not write. */
function render(value: Json): string {
  return JSON.stringify(value).replaceAll(
    /"\\u0000(\d+)"/g,
    (_all, depth: string) => "[".repeat(Number(depth)) + "]".repeat(Number(depth)),
  );
}

/** Writes the last member of `path` once more, in front of itself. */
function duplicate(text: string, path: Path): string {
  const name = `"${String(path.at(-1))}":`;
  const position = text.indexOf(name);
  return position < 0 ? text : `${text.slice(0, position)}${name}null,${text.slice(position)}`;
}
