/**
 * Signatures that `ssh-keygen -Y sign` makes (OpenSSH PROTOCOL.sshsig, version 1) and the public keys beside them (RFC 4253 §6.6, RFC 5656
 * §3.1, RFC 8709 §4). Plain Ed25519, ECDSA and RSA keys are read; those of security keys, certificates and DSA are not.
 *
 *     byte[6] "SSHSIG"   uint32 version   string publickey   string namespace   string reserved   string hash_algorithm   string signature
 *
 * What is signed is "SSHSIG", namespace, reserved, hash_algorithm and H(message), each but the first as a string.
 */
import * as der from "./der.ts";
import {
  concat,
  decodeBase64,
  decodeUtf8,
  encodeBase64,
  encodeUtf8,
  equalBytes,
  uintBytes,
  uintFrom,
} from "./encoding.ts";
import { Malformed } from "./malformed.ts";
import { ed25519Spki } from "./note.ts";

/** A public key. */
export interface SshKey {
  /** Its one encoding in SSH. */
  readonly blob: Uint8Array;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
}

/** A signature. */
export interface SshSignature {
  readonly key: SshKey;
  /** What the message is hashed with. */
  readonly messageHash: "sha256" | "sha512";
  /** What the key's own algorithm hashes with; null for Ed25519. */
  readonly hash: "sha256" | "sha384" | "sha512" | null;
  /** As X.509 has it: ECDSA in DER. */
  readonly signature: Uint8Array;
  /** The whole, in its one encoding. */
  readonly blob: Uint8Array;
}

/** What signatures over files are for; those of other namespaces (git, e-mail) are not over artifacts. */
const namespace = "file";
const magic = encodeUtf8("SSHSIG");
const begin = "-----BEGIN SSH SIGNATURE-----";
const end = "-----END SSH SIGNATURE-----";

/** A line of `authorized_keys` without options. @throws {Malformed} */
export function parseSshKey(text: string): SshKey {
  const [, type = "", encoded = ""] = /^(\S+) (\S+)(?: [^\n\r]*)?\r?\n?$/.exec(text) ?? [];
  if (encoded === "") throw new Malformed("ssh key: expected its type, base64 and no options");
  const blob = decodeBase64(encoded);
  const key = parseKeyBlob(blob);
  if (new Reader(blob).text() !== type) throw new Malformed("ssh key: another type than it says");
  return key;
}

/** The line without comment, as Rekor stores it. */
export function formatSshKey({ blob }: SshKey): string {
  return `${new Reader(blob).text()} ${encodeBase64(blob)}\n`;
}

/** The armoured form. @throws {Malformed} also for another namespace than "file" */
export function parseSshSignature(text: string): SshSignature {
  const lines = text.trimEnd().split(/\r?\n/);
  if (lines.shift() !== begin || lines.pop() !== end) {
    throw new Malformed("ssh signature: expected one block SSH SIGNATURE");
  }
  const blob = decodeBase64(lines.join(""));
  if (!equalBytes(blob.subarray(0, magic.length), magic)) throw new Malformed("ssh signature");
  const reader = new Reader(blob.subarray(magic.length));
  if (reader.number() !== 1n) throw new Malformed("ssh signature: version");
  const key = parseKeyBlob(reader.string());
  const named = reader.text();
  if (named !== namespace) {
    throw new Malformed(
      `ssh signature: expected the namespace "${namespace}" (ssh-keygen -n file)`,
    );
  }
  if (reader.string().length > 0) throw new Malformed("ssh signature: reserved bytes");
  const messageHash = reader.text();
  if (messageHash !== "sha256" && messageHash !== "sha512") {
    throw new Malformed("ssh signature: the hash is neither sha256 nor sha512");
  }
  const made = parseSignatureBlob(reader.string(), key);
  reader.end();
  return { key, messageHash, blob, ...made };
}

/** The armoured form as Rekor stores it: lines of 64. */
export function formatSshSignature({ blob }: SshSignature): string {
  const lines = encodeBase64(blob).match(/.{1,64}/g) ?? [];
  return [begin, ...lines, end, ""].join("\n");
}

/** What the key has signed, from the message's digest by the signature's `messageHash`. */
export function sshSignedData({ messageHash }: SshSignature, digest: Uint8Array): Uint8Array {
  const strings = [encodeUtf8(namespace), new Uint8Array(), encodeUtf8(messageHash), digest];
  return concat(magic, ...strings.flatMap((one) => [uintBytes(one.length, 4), one]));
}

const curves = new Map([
  ["ecdsa-sha2-nistp256", { name: "nistp256", oid: "1.2.840.10045.3.1.7", hash: "sha256" }],
  ["ecdsa-sha2-nistp384", { name: "nistp384", oid: "1.3.132.0.34", hash: "sha384" }],
  ["ecdsa-sha2-nistp521", { name: "nistp521", oid: "1.3.132.0.35", hash: "sha512" }],
] as const);

function parseKeyBlob(blob: Uint8Array): SshKey {
  const reader = new Reader(blob);
  const type = reader.text();
  const spki = spkiOf(type, reader);
  reader.end();
  return { blob, spki };
}

function spkiOf(type: string, reader: Reader): Uint8Array {
  if (type === "ssh-ed25519") return ed25519Spki(reader.string());
  if (type === "ssh-rsa") {
    const [exponent, modulus] = [reader.positive(), reader.positive()];
    return der.sequence(
      der.sequence(der.oid("1.2.840.113549.1.1.1"), der.nullValue()),
      der.bitString(der.sequence(der.integer(modulus), der.integer(exponent))),
    );
  }
  const curve = curveOf(type);
  if (curve === undefined) {
    throw new Malformed("ssh key: only Ed25519, ECDSA and RSA keys are accepted");
  }
  if (reader.text() !== curve.name) throw new Malformed("ssh key: curve");
  return der.sequence(
    der.sequence(der.oid("1.2.840.10045.2.1"), der.oid(curve.oid)),
    der.bitString(reader.string()),
  );
}

function curveOf(type: string) {
  return [...curves].find(([name]) => name === type)?.[1];
}

function parseSignatureBlob(
  blob: Uint8Array,
  key: SshKey,
): Pick<SshSignature, "hash" | "signature"> {
  const reader = new Reader(blob);
  const algorithm = reader.text();
  const signature = reader.string();
  reader.end();
  const type = new Reader(key.blob).text();
  if (type === "ssh-rsa") {
    // "ssh-rsa" here would be SHA-1, which PROTOCOL.sshsig forbids.
    if (algorithm === "rsa-sha2-256") return { hash: "sha256", signature };
    if (algorithm === "rsa-sha2-512") return { hash: "sha512", signature };
    throw new Malformed("ssh signature: an RSA key signs by rsa-sha2-256 or rsa-sha2-512");
  }
  if (algorithm !== type) throw new Malformed("ssh signature: of another type than its key");
  const curve = curveOf(type);
  if (curve === undefined) return { hash: null, signature };
  const numbers = new Reader(signature);
  const [r, s] = [numbers.positive(), numbers.positive()];
  numbers.end();
  return { hash: curve.hash, signature: der.sequence(der.integer(r), der.integer(s)) };
}

/** RFC 4251 §5. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  number(): bigint {
    return uintFrom(this.#take(4));
  }

  string(): Uint8Array {
    return this.#take(Number(this.number()));
  }

  text(): string {
    return decodeUtf8(this.string());
  }

  /** An mpint above zero in its one encoding, without sign. */
  positive(): Uint8Array {
    const bytes = this.string();
    const [first = 0x80, second = 0] = bytes;
    if (first >= 0x80 || (first === 0 && second < 0x80)) throw new Malformed("ssh: number");
    return first === 0 ? bytes.subarray(1) : bytes;
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new Malformed("ssh: bytes behind the end");
  }

  #take(count: number): Uint8Array {
    const to = this.#at + count;
    if (to > this.#bytes.length) throw new Malformed("ssh: cut short");
    const taken = this.#bytes.subarray(this.#at, to);
    this.#at = to;
    return taken;
  }
}
