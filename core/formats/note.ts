/**
 * Signed notes, c2sp.org/signed-note v1.0.0: a text, an empty line, and one line a signature.
 *
 *     text\n
 *     \n
 *     — <key name> base64(4 bytes of key id || signature)\n
 */
import { digestOf } from "./digest.ts";
import {
  concat,
  decodeBase64,
  decodeHex,
  encodeBase64,
  encodeUtf8,
  equalBytes,
} from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** One signature line. */
export interface NoteSignature {
  /** The key's name: not empty, without white space and `+`. */
  readonly name: string;
  /** The first four bytes of the key's id. */
  readonly keyHint: Uint8Array;
  readonly signature: Uint8Array;
}

/** A text and its signatures. */
export interface Note {
  /** Ends with a newline; what the signatures are over. */
  readonly text: string;
  /** At least one. */
  readonly signatures: readonly NoteSignature[];
}

const keyHintLength = 4;
const ed25519Type = 0x01;
const ed25519Length = 32;
const ed25519Prefix = decodeHex("302a300506032b6570032100");
const maxSignatures = 100;
const maxNoteLength = 1_000_000;

/** @throws {Malformed} if text or signatures cannot be written as a note that parses to the same. */
export function formatNote(text: string, signatures: readonly NoteSignature[]): string {
  checkText(text);
  if (signatures.length === 0) throw new Malformed("note: no signature");
  if (signatures.length > maxSignatures) throw new Malformed("note: too many signatures");
  const lines = signatures.map(({ name, keyHint, signature }) => {
    checkName(name);
    if (keyHint.length !== keyHintLength) throw new Malformed("note: key hint length");
    if (signature.length === 0) throw new Malformed("note: empty signature");
    return `\u2014 ${name} ${encodeBase64(concat(keyHint, signature))}\n`;
  });
  return `${text}\n${lines.join("")}`;
}

/** @throws {Malformed} unless formatting the result gives back exactly `note`. */
export function parseNote(note: string): Note {
  if (note.length > maxNoteLength) throw new Malformed("note: too long");
  const split = note.lastIndexOf("\n\n");
  if (split < 0) throw new Malformed("note: no signature block");
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2).split("\n");
  if (lines.pop() !== "") throw new Malformed("note: does not end with a newline");
  const signatures = lines.map(parseSignature);
  if (formatNote(text, signatures) !== note) throw new Malformed("note: not canonical");
  return { text, signatures };
}

/**
 * The 32 bytes whose first four stand on a signature line, and by which Sigstore knows a log: for Ed25519 what signed-note says,
 * SHA-256(name || 0x0A || 0x01 || key), for every other kind SHA-256 of the SubjectPublicKeyInfo, which is Sigstore's own.
 */
export function noteKeyId(name: string, spki: Uint8Array): Uint8Array {
  const raw = rawEd25519(spki);
  const named = raw && concat(encodeUtf8(`${name}\n`), Uint8Array.of(ed25519Type), raw);
  return digestOf("sha256", named ?? spki);
}

/** The first four bytes of {@link noteKeyId}. */
export function keyHintOf(name: string, spki: Uint8Array): Uint8Array {
  return noteKeyId(name, spki).subarray(0, keyHintLength);
}

/** A SubjectPublicKeyInfo around 32 bytes of Ed25519 (RFC 8410 §4). */
export function ed25519Spki(raw: Uint8Array): Uint8Array {
  if (raw.length !== ed25519Length) throw new Malformed("note: Ed25519 key length");
  return concat(ed25519Prefix, raw);
}

function rawEd25519(spki: Uint8Array): Uint8Array | null {
  const at = ed25519Prefix.length;
  const is = spki.length === at + ed25519Length && equalBytes(spki.subarray(0, at), ed25519Prefix);
  return is ? spki.subarray(at) : null;
}

function parseSignature(line: string): NoteSignature {
  const [dash, name, encoded, ...rest] = line.split(" ");
  if (dash !== "\u2014" || name === undefined || encoded === undefined || rest.length > 0) {
    throw new Malformed("note: signature line");
  }
  const bytes = decodeBase64(encoded);
  return {
    name,
    keyHint: bytes.subarray(0, keyHintLength),
    signature: bytes.subarray(keyHintLength),
  };
}

function checkText(text: string): void {
  if (!text.isWellFormed()) throw new Malformed("note: text is not Unicode");
  if (!text.endsWith("\n")) throw new Malformed("note: text does not end with a newline");
  // signed-note: no ASCII control characters below U+0020 other than newline.
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x20 && code !== 0x0a) throw new Malformed("note: control character in the text");
  }
}

function checkName(name: string): void {
  if (name === "" || !name.isWellFormed() || /[\s+\p{White_Space}\p{Cc}]/u.test(name)) {
    throw new Malformed("note: key name");
  }
}
