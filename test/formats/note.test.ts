import { fc, test as property } from "../support/fixed-draws.ts";
import { expect, test } from "vitest";
import { formatCheckpoint, parseCheckpoint } from "../../core/formats/checkpoint.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { createHash, createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { decodeBase64, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import {
  ed25519Spki,
  formatNote,
  keyHintOf,
  noteKeyId,
  parseNote,
} from "../../core/formats/note.ts";
import {
  decodeEntryBundle,
  encodeEntryBundle,
  formatTilePath,
  parseTilePath,
} from "../../core/formats/tile.ts";

const dash = "\u2014";
// c2sp.org/signed-note, the example of Go's checksum database.
const example =
  "If you think cryptography is the answer to your problem,\n" +
  "then you don't know what your problem is.\n\n" +
  `${dash} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`;

test("reads and writes the specification's example", () => {
  const note = parseNote(example);
  expect(note.text.split("\n").length).toBe(3);
  expect(note.signatures.map(({ name }) => name)).toEqual(["PeterNeumann"]);
  expect(note.signatures[0]?.keyHint.toHex()).toBe("c74f20a3");
  expect(note.signatures[0]?.signature.length).toBe(64);
  expect(formatNote(note.text, note.signatures)).toBe(example);
});

// Keys of others as vkeys: of the example above, and of Go's checksum database.
test.for([
  ["PeterNeumann", "c74f20a3", "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"],
  ["sum.golang.org", "033de0ae", "Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"],
] as const)("knows the key id of %s", ([name, hint, key]) => {
  const spki = ed25519Spki(decodeBase64(key).subarray(1));
  expect(encodeHex(keyHintOf(name, spki))).toBe(hint);
  expect(encodeHex(keyHintOf(`${name}.`, spki))).not.toBe(hint);
});

test("the example's signature is that key's, as node:crypto sees it", () => {
  const { text, signatures } = parseNote(example);
  const raw = decodeBase64("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").subarray(1);
  const key = createPublicKey({ key: Buffer.from(ed25519Spki(raw)), format: "der", type: "spki" });
  const [own] = signatures;
  expect(verify(null, encodeUtf8(text), key, own?.signature ?? new Uint8Array())).toBe(true);
});

test("the key id of an ECDSA key is the hash of its SubjectPublicKeyInfo, whatever the name", () => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  const expected = new Uint8Array(createHash("sha256").update(spki).digest());
  expect([noteKeyId("a", spki), noteKeyId("b", spki)]).toEqual([expected, expected]);
  expect(() => ed25519Spki(new Uint8Array(31))).toThrow(Malformed);
});

const line = `${dash} log AAAAAGRvZw==\n`;

test.for([
  ["no signature block", "text\n"],
  ["no empty line", `text\n${line}`],
  ["no signature", "text\n\n"],
  ["no final newline", `text\n\n${line.slice(0, -1)}`],
  ["a blank line after the signatures", `text\n\n${line}\n`],
  ["another dash", `text\n\n- log AAAAAGRvZw==\n`],
  ["a name with a plus", `text\n\n${dash} lo+g AAAAAGRvZw==\n`],
  ["an empty name", `text\n\n${dash}  AAAAAGRvZw==\n`],
  ["a name with another space", `text\n\n${dash} lo\u00a0g AAAAAGRvZw==\n`],
  ["base64 without its pad", `text\n\n${dash} log AAAAAGRvZw\n`],
  ["stray bits in the base64", `text\n\n${dash} log AAAAAGRvZx==\n`],
  ["a signature without bytes", `text\n\n${dash} log AAAAAA==\n`],
  ["less than a key hint", `text\n\n${dash} log AAAA\n`],
  ["a carriage return in the text", `te\rxt\n\n${line}`],
  ["a control character in the text", `te\u0001xt\n\n${line}`],
  ["a lone surrogate in the text", `te\ud800xt\n\n${line}`],
  ["text after the signatures", `text\n\n${line}more\n`],
  ["101 signatures", `text\n\n${line.repeat(101)}`],
] as const)("refuses a note with %s", ([, note]) => {
  expect(() => parseNote(note)).toThrow(Malformed);
});

test("takes 100 signatures", () => {
  expect(parseNote(`text\n\n${line.repeat(100)}`).signatures.length).toBe(100);
});

const keyName = fc.stringMatching(/^[a-z0-9.\-/:]{1,20}$/);
const signature = fc.record({
  name: keyName,
  keyHint: fc.uint8Array({ minLength: 4, maxLength: 4 }),
  signature: fc.uint8Array({ minLength: 1, maxLength: 80 }),
});

property.prop([
  fc.stringMatching(/^[ -~\u00e4\u20ac]{0,40}$/),
  fc.array(signature, { minLength: 1, maxLength: 4 }),
])("a formatted note parses to what it was made of", (text, signatures) => {
  const note = formatNote(`${text}\n`, signatures);
  expect(parseNote(note)).toEqual({ text: `${text}\n`, signatures });
});

const root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

test("reads and writes a checkpoint", () => {
  const text = `example.com/behind-the-sofa\n20852163\n${root}\n`;
  const checkpoint = parseCheckpoint(text);
  expect(checkpoint).toMatchObject({ origin: "example.com/behind-the-sofa", size: 20852163n });
  expect(formatCheckpoint(checkpoint)).toBe(text);
});

test.for([
  ["no origin", `\n1\n${root}\n`],
  ["a leading zero", `log\n01\n${root}\n`],
  ["a sign", `log\n+1\n${root}\n`],
  ["a size of 2^63", `log\n9223372036854775808\n${root}\n`],
  ["a short root", "log\n1\nCsUYapGGPo4=\n"],
  ["base64 without its pad", `log\n1\n${root.slice(0, -1)}\n`],
  ["an extension line", `log\n1\n${root}\nextension\n`],
  ["no final newline", `log\n1\n${root}`],
  ["two final newlines", `log\n1\n${root}\n\n`],
  ["a carriage return in the origin", `log\r\n1\n${root}\n`],
  ["no root", "log\n1\n"],
] as const)("refuses a checkpoint with %s", ([, text]) => {
  expect(() => parseCheckpoint(text)).toThrow(Malformed);
});

property.prop([
  fc.stringMatching(/^[!-~ ]{1,30}$/),
  fc.bigInt(0n, 2n ** 63n - 1n),
  fc.uint8Array({ minLength: 32, maxLength: 32 }),
])("a formatted checkpoint parses to what it was made of", (origin, size, hash) => {
  const text = formatCheckpoint({ origin, size, root: hash });
  expect(parseCheckpoint(text)).toEqual({ origin, size, root: hash });
});

test.for([
  ["tile/0/000", { level: 0, index: 0n, width: 256 }],
  ["tile/3/x001/x234/067", { level: 3, index: 1234067n, width: 256 }],
  ["tile/entries/x001/000.p/1", { level: "entries", index: 1000n, width: 1 }],
  ["tile/63/999.p/255", { level: 63, index: 999n, width: 255 }],
] as const)("%s is a tile", ([path, tile]) => {
  expect(parseTilePath(path)).toEqual(tile);
  expect(formatTilePath(tile)).toBe(path);
});

test.for([
  "tile/0/0",
  "tile/0/00",
  "tile/0/x000/000",
  "tile/0/001/x000",
  "tile/64/000",
  "tile/00/000",
  "tile/-1/000",
  "tile/0/000.p/0",
  "tile/0/000.p/256",
  "tile/0/000.p/01",
  "tile/0/000.p/",
  "tile/data/000",
  "/tile/0/000",
  "tile/0/000/",
  "tile/0/x1/000",
])("%s is no tile", (path) => {
  expect(() => parseTilePath(path)).toThrow(Malformed);
});

property.prop([fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 256 })])(
  "an encoded bundle decodes to its entries",
  (entries) => {
    expect(decodeEntryBundle(encodeEntryBundle(entries))).toEqual(entries);
  },
);

test("refuses bundles that are empty, cut short, too long, or of an entry too large", () => {
  const many = (n: number) => Array.from({ length: n }, () => Uint8Array.of(1));
  expect(decodeEntryBundle(encodeEntryBundle(many(256))).length).toBe(256);
  expect(() => decodeEntryBundle(encodeEntryBundle(many(257)))).toThrow(Malformed);
  expect(() => decodeEntryBundle(new Uint8Array())).toThrow(Malformed);
  expect(() => decodeEntryBundle(Uint8Array.of(0))).toThrow(Malformed);
  expect(() => decodeEntryBundle(Uint8Array.of(0, 2, 1))).toThrow(Malformed);
  expect(encodeEntryBundle([new Uint8Array(65_535)]).length).toBe(65_537);
  expect(() => encodeEntryBundle([new Uint8Array(65_536)])).toThrow(Malformed);
});
