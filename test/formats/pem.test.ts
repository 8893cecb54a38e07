import { generateKeyPairSync } from "node:crypto";
import { fc, test as property } from "../support/fixed-draws.ts";
import { expect, test } from "vitest";
import { Malformed } from "../../core/formats/malformed.ts";
import { formatPem, parsePem, parsePemBlocks } from "../../core/formats/pem.ts";

property.prop([fc.uint8Array({ minLength: 1, maxLength: 300 })])("reads what it writes", (der) => {
  expect(parsePem(formatPem("CERTIFICATE", der), "CERTIFICATE")).toEqual(der);
});

test("writes what OpenSSL writes", () => {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const der = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  expect(formatPem("PUBLIC KEY", der)).toBe(publicKey.export({ format: "pem", type: "spki" }));
});

const block = formatPem("PUBLIC KEY", new Uint8Array(100).fill(9));

test.each([
  ["one line", block.replaceAll("\n", "")],
  [
    "one line of base64",
    `${block.slice(0, 27)}${block.slice(27, -26).replaceAll("\n", "")}${block.slice(-26)}`,
  ],
  ["CRLF", block.replaceAll("\n", "\r\n")],
  ["no final newline", block.trimEnd()],
  ["white space around", `\n  ${block}  \n`],
])("reads %s", (_, text) => {
  expect(parsePem(text, "PUBLIC KEY")).toEqual(new Uint8Array(100).fill(9));
});

test.each([
  ["nothing", ""],
  ["text before", `hello ${block}`],
  ["text after", `${block}hello`],
  ["another label", block.replaceAll("PUBLIC", "PRIVATE")],
  ["unequal labels", block.replace("END PUBLIC", "END PRIVATE")],
  ["no end", block.slice(0, -27)],
  ["two blocks", block + block],
  ["headers", block.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n")],
  ["an empty body", "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----"],
  ["broken base64", block.replace("CQkJ", "CQ*J")],
  ["missing padding", block.replace("==", "")],
])("refuses %s", (_, text) => {
  expect(() => parsePem(text, "PUBLIC KEY")).toThrow(Malformed);
});

test("reads chains in order", () => {
  const text =
    formatPem("CERTIFICATE", Uint8Array.of(1)) + formatPem("CERTIFICATE", Uint8Array.of(2));
  expect(parsePemBlocks(text).map(({ der }) => der)).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
});
