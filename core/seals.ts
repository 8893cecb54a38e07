/**
 * Keys shared by pairs of plugins, and what is made with them: statements carried by third parties. HMAC-SHA-256 (RFC 2104), each
 * use under its own label, so that no seal is ever a message's MAC.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Seals } from "./plugin.ts";

/** The 32-byte key of asker and answerer, or undefined if the pair has none. */
export type PairKeys = (asker: string, answerer: string) => Uint8Array | undefined;

/** The seals of each plugin whose pair keys this process holds. */
export function sealsFrom(keys: PairKeys): (plugin: string) => Seals {
  const seal = (from: string, to: string, statement: Uint8Array): Uint8Array => {
    const key = keys(from, to);
    if (!key) throw new TypeError(`"${from}" and "${to}" share no key: see "vouchesTo"`);
    return authenticate(key, `vouch ${from} ${to}`, statement);
  };
  return (plugin) => ({
    seal: (room, statement) => seal(plugin, room, statement),
    verify: (room, statement, mac) => sameMac(seal(room, plugin, statement), mac),
  });
}

/** HMAC-SHA-256 over the label, a zero byte and the message. Labels hold no zero byte. */
export function authenticate(key: Uint8Array, label: string, message: Uint8Array): Uint8Array {
  return createHmac("sha256", key).update(`${label}\0`, "utf8").update(message).digest();
}

/** Equality in constant time. */
export function sameMac(expected: Uint8Array, actual: Uint8Array): boolean {
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}
