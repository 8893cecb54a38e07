/** Rekor's `rekord` entries, version 0.0.1 (rekor v1.5): a signature of `format` over data that is sent along and not stored. */
import {
  decodeBase64,
  decodeHex,
  decodeUtf8,
  encodeBase64,
  encodeHex,
  encodeUtf8,
  equalBytes,
} from "./encoding.ts";
import type { JsonValue } from "./json.ts";
import { Malformed } from "./malformed.ts";
import {
  formatMinisignKey,
  formatMinisignSignature,
  type MinisignKey,
  type MinisignSignature,
  parseMinisignKey,
  parseMinisignSignature,
} from "./minisign.ts";
import { ed25519Spki } from "./note.ts";
import {
  child,
  content,
  formatVerifier,
  type JsonObject,
  parseVerifier,
  sha256,
  text,
  UnreadableVerifier,
  type Verifier,
} from "./rekor-members.ts";
import {
  formatSshKey,
  formatSshSignature,
  parseSshKey,
  parseSshSignature,
  type SshKey,
  type SshSignature,
} from "./ssh-signature.ts";

/** How the data is signed. */
export type RekordSignature =
  | { readonly format: "x509"; readonly content: Uint8Array; readonly verifier: Verifier }
  | { readonly format: "ssh"; readonly signature: SshSignature; readonly key: SshKey }
  | {
      readonly format: "minisign";
      readonly signature: MinisignSignature;
      readonly key: MinisignKey;
    };

/** A signature over data. */
export interface Rekord {
  readonly kind: "rekord";
  readonly data: Uint8Array;
  /** SHA-256 of the data. */
  readonly digest: Uint8Array;
  readonly signature: RekordSignature;
}

/** Formats of signatures that are read here. */
export const rekordFormats = ["x509", "ssh", "minisign"] as const;

/** True for a format that is read here; looked at before anything is decoded. */
export function hasKnownFormat(spec: JsonObject): boolean {
  return formatOf(child(spec, "signature")) !== undefined;
}

/** Reads the spec. @throws {Malformed} also if a hash is given that is not the data's {UnreadableVerifier} */
export function parseRekord(spec: JsonObject): Rekord {
  const data = child(spec, "data");
  const bytes = content(data, "content");
  const digest = sha256(bytes);
  if (Object.hasOwn(data, "hash")) {
    const hash = child(data, "hash");
    const isRight = equalBytes(decodeHex(text(hash, "value").toLowerCase()), digest);
    if (text(hash, "algorithm") !== "sha256" || !isRight) {
      throw new Malformed("rekor: the hash is not the data's SHA-256");
    }
  }
  const signature = parseSignature(child(spec, "signature"));
  return { kind: "rekord", data: bytes, digest, signature };
}

/** What is stored. */
export function rekordSpec({ digest, signature }: Rekord): JsonValue {
  const [made, key] = storedOf(signature);
  return {
    data: { hash: { algorithm: "sha256", value: encodeHex(digest) } },
    signature: { content: made, format: signature.format, publicKey: { content: key } },
  };
}

/** SubjectPublicKeyInfo of a key that is stored and is no PEM: OpenSSH's, or minisign's. @throws {Malformed} */
export function storedKeySpki(stored: string): Uint8Array {
  return stored.includes(" ") ? parseSshKey(stored).spki : ed25519Spki(decodeBase64(stored));
}

function formatOf(signature: JsonObject): RekordSignature["format"] | undefined {
  const format = text(signature, "format");
  return rekordFormats.find((one) => one === format);
}

function parseSignature(spec: JsonObject): RekordSignature {
  const format = formatOf(spec);
  const made = content(spec, "content");
  const key = content(child(spec, "publicKey"), "content");
  switch (format) {
    case "x509":
      return { format, content: made, verifier: parseVerifier(key) };
    case "ssh":
      return {
        format,
        signature: parseSshSignature(decodeUtf8(made)),
        key: readable(() => parseSshKey(decodeUtf8(key))),
      };
    case "minisign":
      return {
        format,
        signature: parseMinisignSignature(decodeUtf8(made)),
        key: readable(() => parseMinisignKey(decodeUtf8(key))),
      };
    case undefined:
      throw new Malformed(`rekor: format: expected one of ${rekordFormats.join(", ")}`);
  }
}

/** Base64 of signature and key, each in its one form. */
function storedOf(signature: RekordSignature): readonly [string, string] {
  const ascii = (made: string) => encodeBase64(encodeUtf8(made));
  switch (signature.format) {
    case "x509":
      return [encodeBase64(signature.content), formatVerifier(signature.verifier)];
    case "ssh":
      return [ascii(formatSshSignature(signature.signature)), ascii(formatSshKey(signature.key))];
    case "minisign":
      return [
        ascii(formatMinisignSignature(signature.signature)),
        ascii(formatMinisignKey(signature.key)),
      ];
  }
}

/** What is wrong with a key is said as such. */
function readable<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new UnreadableVerifier(cause.message, { cause });
  }
}
