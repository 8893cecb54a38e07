/** The key that a followed log signs its checkpoints with, as an operator gives it: PEM, or a vkey of c2sp.org/signed-note v1.0.0. */
import { importPublicKey, KeyInsecure, type PublicKey } from "../../../core/crypto/keys.ts";
import { verifySignature } from "../../../core/crypto/verify.ts";
import {
  decodeBase64,
  encodeBase64,
  encodeHex,
  encodeUtf8,
} from "../../../core/formats/encoding.ts";
import { Malformed } from "../../../core/formats/malformed.ts";
import { ed25519Spki, keyHintOf, parseNote } from "../../../core/formats/note.ts";
import { parsePem } from "../../../core/formats/pem.ts";
import { NotVerified } from "../verify/not-verified.ts";

/** A checkpoint whose signature was verified. */
export interface VerifiedCheckpoint {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
  /** The signed note. */
  readonly note: string;
}

const ed25519Type = 0x01;
const rawKeyLength = 32;

/** @throws {Malformed} unless `text` is PEM with one public key, or a vkey with an Ed25519 key. */
export function readNoteKey(text: string): PublicKey {
  try {
    const spki = text.includes("-----BEGIN") ? parsePem(text, "PUBLIC KEY") : spkiOf(text.trim());
    return importPublicKey(spki);
  } catch (cause) {
    if (cause instanceof KeyInsecure) throw new Malformed(cause.message, { cause });
    throw cause;
  }
}

/**
 * What a note says that the key has signed. Other signatures on it are witnesses', and not looked at; extension lines are allowed.
 *
 * @throws {NotVerified} if none of its signatures is the key's. @throws {Malformed} if it is no checkpoint
 */
export function verifyNote(note: string, key: PublicKey): VerifiedCheckpoint {
  const { text, signatures } = parseNote(note);
  const message = encodeUtf8(text);
  if (!signatures.some(({ signature }) => verifySignature(key, message, signature))) {
    throw new NotVerified("log-entry", "the checkpoint is not signed by the given key");
  }
  const [origin = "", size = "", root = ""] = text.split("\n");
  if (origin === "") throw new Malformed("checkpoint: no origin");
  if (!/^(?:0|[1-9][0-9]{0,18})$/.test(size)) throw new Malformed("checkpoint: tree size");
  const hash = decodeBase64(root);
  if (hash.length !== 32 || encodeBase64(hash) !== root) throw new Malformed("checkpoint: root");
  return { origin, size: BigInt(size), root: hash, note };
}

/** `name+hash+base64(type || key)`; the hash is no secret and there to notice slips. */
function spkiOf(vkey: string): Uint8Array {
  const [, name = "", hash = "", encoded = ""] =
    /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(vkey) ?? [];
  if (hash === "") throw new Malformed("expected a public key in PEM, or a vkey: name+hash+key");
  const bytes = decodeBase64(encoded);
  if (bytes[0] !== ed25519Type || bytes.length !== 1 + rawKeyLength) {
    throw new Malformed("a vkey holds an Ed25519 key here; give any other as PEM");
  }
  const spki = ed25519Spki(bytes.subarray(1));
  if (encodeHex(keyHintOf(name, spki)) !== hash) {
    throw new Malformed("the vkey's hash is not that of its name and key; copy it anew");
  }
  return spki;
}
