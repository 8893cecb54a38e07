/** The secrets a process reads from its home: one nkey a plugin, one key a pair that crosses processes. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { decodeHex, encodeUtf8 } from "./formats/encoding.ts";
import { CompositionError } from "./graph.ts";
import type { PairKeys } from "./seals.ts";

/** The seed (SU…) of a plugin's nkey. @throws {CompositionError} if it is missing or readable by others. */
export async function readNkeySeed(home: string, plugin: string): Promise<Uint8Array> {
  return encodeUtf8(await readSecret(join(home, "secrets", "nkeys", `${plugin}.nk`)));
}

/**
 * The keys of these pairs, by asker and answerer.
 *
 * @throws {CompositionError} if one is missing, readable by others or no key.
 */
export async function readPairKeys(
  home: string,
  pairs: readonly (readonly [asker: string, answerer: string])[],
): Promise<PairKeys> {
  const keys = new Map<string, Uint8Array>();
  await Promise.all(
    pairs.map(async ([asker, answerer]) => {
      const name = `${asker}--${answerer}`;
      const path = join(home, "secrets", "pairs", `${name}.key`);
      keys.set(name, parseKey(path, await readSecret(path)));
    }),
  );
  return (asker, answerer) => keys.get(`${asker}--${answerer}`);
}

const keyBytes = 32;
const othersMask = 0o077;

function parseKey(path: string, text: string): Uint8Array {
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new CompositionError(`${path} is not ${keyBytes} bytes in hex: restore it from a backup`);
  }
  return decodeHex(text);
}

async function readSecret(path: string): Promise<string> {
  try {
    await using file = await open(path, "r");
    const { mode } = await file.stat();
    if ((mode & othersMask) !== 0) {
      throw new CompositionError(`${path} is readable by others: chmod 600 it`);
    }
    return (await file.readFile("utf8")).trim();
  } catch (cause) {
    if (cause instanceof CompositionError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CompositionError(`a secret cannot be read: ${reason}: restore it from a backup`, {
      cause,
    });
  }
}
