/** Passwords as Argon2id hashes (RFC 9106), each in the PHC string format with the parameters it was made with. */
import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { decodeBase64, encodeBase64, encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";

interface Cost {
  /** KiB. */
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
}

/** One of the equal choices that OWASP recommends for Argon2id: the services share their memory, so little of that and more passes. */
const cost: Cost = { memory: 9_216, passes: 4, parallelism: 1 };
/** What a hash may ask for: the file is ours, but a typo in it must not take the machine down. */
const most: Cost = { memory: 262_144, passes: 16, parallelism: 8 };
const saltBytes = 16;
const tagBytes = 32;

/** Hashes a new password. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(saltBytes);
  return format(cost, salt, await derive(password, salt, cost));
}

/** True if `password` is the one `hash` was made of. Constant time. @throws {Malformed} if `hash` is none */
export async function isPassword(password: string, hash: string): Promise<boolean> {
  const { salt, tag, ...own } = parse(hash);
  return timingSafeEqual(await derive(password, salt, own), tag);
}

/** A hash that no password has, to compare with where there is no account: that takes as long as where there is one. */
export function hashOfNobody(): string {
  return format(cost, randomBytes(saltBytes), randomBytes(tagBytes));
}

const phc =
  /^\$argon2id\$v=19\$m=(\d{1,6}),t=(\d{1,2}),p=(\d)\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{43})$/;

function parse(hash: string) {
  const [, memory, passes, parallelism, salt = "", tag = ""] = phc.exec(hash) ?? [];
  const own = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) };
  const bounded =
    own.parallelism >= 1 &&
    own.parallelism <= most.parallelism &&
    own.passes >= 1 &&
    own.passes <= most.passes &&
    own.memory >= 8 * own.parallelism &&
    own.memory <= most.memory;
  if (!bounded) throw new Malformed("password hash: not Argon2id within bounds");
  return { ...own, salt: unpadded(salt), tag: unpadded(tag) };
}

/** PHC strings leave the padding out. */
function unpadded(text: string): Uint8Array {
  return decodeBase64(text.padEnd(Math.ceil(text.length / 4) * 4, "="));
}

function format({ memory, passes, parallelism }: Cost, salt: Uint8Array, tag: Uint8Array): string {
  const text = (bytes: Uint8Array) => encodeBase64(bytes).replaceAll("=", "");
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${text(salt)}$${text(tag)}`;
}

async function derive(password: string, nonce: Uint8Array, own: Cost): Promise<Uint8Array> {
  // One spelling of what looks the same, whatever keyboard it was typed on.
  const message = encodeUtf8(password.normalize("NFC"));
  return await promisify(argon2)("argon2id", { message, nonce, tagLength: tagBytes, ...own });
}
