/** Other spellings of encoded values, which lenient decoders take for the same bytes: none of them may be accepted. */
import type { Wish } from "./door-client.ts";
import type { Row } from "./door-material.ts";

/** `digest` is hex that Rekor takes in either case, as upstream does, and writes in lower case. */
type Kind = "base64" | "base64url" | "hex" | "digest" | "pem" | "base64 of pem" | "base64 of der";

/** A request field that carries bytes as text, by route. */
interface Field {
  readonly route: string;
  readonly kind: Kind;
  /** Its value in the good request. */
  readonly find: RegExp;
}

/** Every field of every route that carries encoded bytes. */
const fields: readonly Field[] = [
  { route: "POST /api/v2/signingCert", kind: "base64url", find: /\.([\w-]+)"/ },
  { route: "POST /api/v2/signingCert", kind: "base64url", find: /"([\w-]+)\.[\w-]+\./ },
  { route: "POST /api/v2/signingCert", kind: "base64", find: /"proofOfPossession":"([^"]+)"/ },
  { route: "POST /api/v2/signingCert", kind: "pem", find: /"content":"([^"]+)"/ },
  { route: "POST /api/v1/signingCert", kind: "base64", find: /"signedEmailAddress":"([^"]+)"/ },
  { route: "POST /api/v1/signingCert", kind: "base64 of der", find: /"content":"([^"]+)"/ },
  { route: "POST /logs/:log/ct/v1/add-chain", kind: "base64 of der", find: /\["([^"]+)"/ },
  { route: "POST /logs/:log/ct/v1/add-chain", kind: "base64 of der", find: /","([^"]+)"/ },
  { route: "POST /logs/:log/ct/v1/add-pre-chain", kind: "base64 of der", find: /\["([^"]+)"/ },
  { route: "POST /logs/:log/ct/v1/add-pre-chain", kind: "base64 of der", find: /","([^"]+)"/ },
  { route: "POST /api/v1/log/entries", kind: "digest", find: /"value":"([^"]+)"/ },
  { route: "POST /api/v1/log/entries", kind: "base64", find: /"signature":\{"content":"([^"]+)"/ },
  {
    route: "POST /api/v1/log/entries",
    kind: "base64 of pem",
    find: /"publicKey":\{"content":"([^"]+)"/,
  },
  { route: "POST /api/v1/log/entries/retrieve", kind: "hex", find: /\["([^"]+)"/ },
  { route: "POST /api/v1/index/retrieve", kind: "digest", find: /"sha256:([^"]+)"/ },
  { route: "GET /api/v1/log/entries/:id", kind: "hex", find: /entries\/(\w+)/ },
  { route: "GET /logs/:log/ct/v1/get-proof-by-hash", kind: "base64", find: /hash=([^&]+)/ },
];

/** Requests that are good but for the spelling of one value. */
export function misspelled(row: Row): readonly { readonly name: string; readonly wish: Wish }[] {
  return fields
    .filter(({ route }) => route === row.route)
    .flatMap(({ kind, find }) => {
      const inPath = row.good.method === "GET";
      const text = inPath ? row.good.path : String(row.good.body);
      const raw = find.exec(text)?.[1];
      if (raw === undefined) throw new Error(`${row.route} has no value for ${String(find)}`);
      const value = inPath ? decodeURIComponent(raw) : (JSON.parse(`"${raw}"`) as string);
      return variantsOf(kind, value)
        .filter(([, variant]) => variant !== value)
        .map(([name, variant]) => {
          const written = inPath
            ? encodeURIComponent(variant)
            : JSON.stringify(variant).slice(1, -1);
          const changed = text.replace(raw, () => written);
          const wish = inPath ? { ...row.good, path: changed } : { ...row.good, body: changed };
          return { name: `${kind} ${String(find)}: ${name}`, wish };
        });
    });
}

type Variant = readonly [name: string, text: string];

function variantsOf(kind: Kind, value: string): readonly Variant[] {
  switch (kind) {
    case "hex":
      return [["upper case", value.toUpperCase()], ...variantsOf("digest", value)];
    case "digest":
      return [
        ["one digit less", value.slice(1)],
        ["a prefix", `0x${value}`],
        ["a digit that is none", `${value.slice(0, -1)}g`],
        ["white space", ` ${value}`],
      ];
    case "base64":
    case "base64url":
      return base64Variants(value);
    case "base64 of der":
      return [...base64Variants(value), ...derVariants(value)];
    case "pem":
      return pemVariants(value);
    case "base64 of pem":
      return [
        ...base64Variants(value),
        ...pemVariants(Buffer.from(value, "base64").toString("latin1")).map(
          ([name, text]): Variant => [name, Buffer.from(text, "latin1").toString("base64")],
        ),
      ];
  }
}

function base64Variants(value: string): readonly Variant[] {
  const half = value.length >> 1;
  return [
    ["a pad more", `${value}=`],
    ["no pad", value.replace(/=+$/, "")],
    ["a line feed inside", `${value.slice(0, half)}\n${value.slice(half)}`],
    ["a space before", ` ${value}`],
    ["a sign that is none", `${value.slice(0, half)}*${value.slice(half)}`],
    ["a pad inside", `${value.slice(0, half)}=${value.slice(half)}`],
    [
      "the other alphabet",
      value.replaceAll(/[+/_-]/g, (sign) => "-_/+"["+/_-".indexOf(sign)] ?? ""),
    ],
    ["stray bits", strayBits(value)],
  ];
}

/** The same bytes with another last digit, if that digit has bits to spare. */
function strayBits(value: string): string {
  const digits = value.replace(/=+$/, "");
  if (digits.length % 4 === 0) return value;
  const last = digits.charCodeAt(digits.length - 1);
  return `${digits.slice(0, -1)}${String.fromCharCode(last + 1)}${value.slice(digits.length)}`;
}

function derVariants(value: string): readonly Variant[] {
  const der = Buffer.from(value, "base64");
  return [
    ["a byte after the DER", Buffer.concat([der, Buffer.of(0)]).toString("base64")],
    ["an indefinite length", indefinite(der).toString("base64")],
    ["a length of one byte too many", longLength(der).toString("base64")],
  ];
}

function pemVariants(pem: string): readonly Variant[] {
  const [, label = "", body = ""] = /-----BEGIN ([A-Z ]+)-----([\s\S]+)-----END/.exec(pem) ?? [];
  const write = (der: string): string =>
    `-----BEGIN ${label}-----\n${der}\n-----END ${label}-----\n`;
  return [
    ["two blocks", pem + pem],
    ["text before", `x\n${pem}`],
    ["text after", `${pem}x`],
    ["another label", pem.replaceAll(label, "PRIVATE KEY")],
    ["no end", pem.slice(0, pem.indexOf("-----END"))],
    ["a sign that is none", pem.replace("\n", "\n*")],
    ...derVariants(body.replaceAll(/\s/g, "")).map(([name, der]): Variant => [name, write(der)]),
  ];
}

/** BER: the outer SEQUENCE without a length, ended by two zeros. */
function indefinite(der: Buffer): Buffer {
  const header = (der[1] ?? 0) < 0x80 ? 2 : 2 + ((der[1] ?? 0) & 0x7f);
  return Buffer.concat([Buffer.of(der[0] ?? 0, 0x80), der.subarray(header), Buffer.of(0, 0)]);
}

/** BER: a length with a leading zero. */
function longLength(der: Buffer): Buffer {
  const header = (der[1] ?? 0) < 0x80 ? 2 : 2 + ((der[1] ?? 0) & 0x7f);
  const length = der.length - header;
  return Buffer.concat([
    Buffer.of(der[0] ?? 0, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff),
    der.subarray(header),
  ]);
}
