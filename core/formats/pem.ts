/** Textual encodings of PKIX structures (RFC 7468): one label, base64 in 64 columns. */
import { decodeBase64, encodeBase64 } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** A block and what it says it is. */
export interface PemBlock {
  readonly label: string;
  readonly der: Uint8Array;
}

const columns = 64;

/** One block with a final newline. */
export function formatPem(label: string, der: Uint8Array): string {
  return `${formatPemBlock(label, der)}\n`;
}

/** One block without a final newline, as Fulcio answers. */
export function formatPemBlock(label: string, der: Uint8Array): string {
  const base64 = encodeBase64(der);
  let lines = "";
  for (let at = 0; at < base64.length; at += columns) {
    lines += `${base64.slice(at, at + columns)}\n`;
  }
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----`;
}

/**
 * The one block of `text`, which must carry this label. Lines may have any length, since sigstore-java writes a single one.
 *
 * @throws {Malformed} if there is none, another one, or anything beside it.
 */
export function parsePem(text: string, label: string): Uint8Array {
  const [block, another] = parsePemBlocks(text);
  if (block === undefined) throw new Malformed(`pem: no ${label}`);
  if (another !== undefined) throw new Malformed("pem: more than one block");
  if (block.label !== label) throw new Malformed(`pem: expected ${label}`);
  return block.der;
}

/** All blocks in order; white space may stand between and around them. @throws {Malformed} on anything else. */
export function parsePemBlocks(text: string): readonly PemBlock[] {
  const blocks: PemBlock[] = [];
  let rest = text.trimStart();
  while (rest !== "") {
    const begin = /^-----BEGIN ([A-Z0-9](?:[A-Z0-9 ]{0,62}[A-Z0-9])?)-----/.exec(rest);
    const label = begin?.[1];
    if (begin === null || label === undefined) throw new Malformed("pem: text outside a block");
    const end = `-----END ${label}-----`;
    const endAt = rest.indexOf(end);
    if (endAt < 0) throw new Malformed(`pem: ${label} does not end`);
    const body = rest.slice(begin[0].length, endAt).replaceAll(/[ \t\r\n]/g, "");
    if (body === "") throw new Malformed(`pem: ${label} is empty`);
    blocks.push({ label, der: decodeBase64(body) });
    rest = rest.slice(endAt + end.length).trimStart();
  }
  return blocks;
}
