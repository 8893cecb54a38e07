/**
 * Verification over digests (`core/crypto/digest-verify.ts`), proven on pairs: for each key and message a right signature and a wrong one,
 * answered by the addon, by the fallback, and by node:crypto over the message, which is right by definition.
 */
import {
  generateKeyPairSync,
  hash as digestOf,
  type KeyObject,
  randomInt,
  sign,
  verify,
} from "node:crypto";
import { availableParallelism } from "node:os";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import {
  type DigestVerifier,
  verifyDigestNative,
  verifyDigestPure,
} from "../../core/crypto/digest-verify.ts";
import { importPublicKey, isEcdsa, type PublicKey } from "../../core/crypto/keys.ts";
import type { HashName } from "../../core/crypto/hash.ts";
import type { Figure } from "./figure.ts";

/** What was found. */
export interface Agreement {
  readonly pairs: number;
  /** Answers of the addon or of the fallback that are not node:crypto's, or not what was made. */
  readonly disagreements: number;
}

interface Signer {
  readonly key: PublicKey;
  readonly privateKey: KeyObject;
  readonly hash: HashName;
  /** Of a hundred pairs. */
  readonly share: number;
}

/** How pairs are verified. */
export interface Proving {
  /** Gives 32 bits that decide what is wrong with a signature. */
  readonly draw: () => number;
  /** The fallback is asked about one in so many signatures of elliptic curves, at which it is slow; about all unless said. */
  readonly thin?: number;
  /** Told how many more have been verified. */
  readonly told?: (pairs: number) => void;
}

const tellEvery = 10_000;

/** Verifies so many pairs with fresh messages. */
export function agreeOn(pairs: number, { draw, thin = 1, told }: Proving): Agreement {
  const all = signers();
  const order = all.flatMap((signer) => Array.from({ length: signer.share }, () => signer));
  let disagreements = 0;
  for (let pair = 0; pair < pairs; pair++) {
    const signer = order[pair % order.length];
    if (signer === undefined) break;
    const isThin = isEcdsa(signer.key.algorithm) && Math.floor(pair / order.length) % thin !== 0;
    const verifiers: readonly DigestVerifier[] = [
      ...(verifyDigestNative === null ? [] : [verifyDigestNative]),
      ...(isThin ? [] : [verifyDigestPure]),
    ];
    const { key, privateKey, hash } = signer;
    const message = Uint8Array.from([pair, pair >> 8, pair >> 16, pair >> 24, draw()]);
    const right = new Uint8Array(sign(hash, message, privateKey));
    const digest = new Uint8Array(digestOf(hash, message, "buffer"));
    for (const [signature, isRight] of [
      [right, true],
      [spoil(right, draw()), false],
    ] as const) {
      const isTrue = verify(hash, message, key.keyObject, signature);
      const answers = verifiers.map((one) => one(key, hash, digest, signature));
      if (isTrue !== isRight || answers.some((answer) => answer !== isTrue)) disagreements++;
    }
    if ((pair + 1) % tellEvery === 0) told?.(tellEvery);
  }
  return { pairs, disagreements };
}

/** As a figure of the benchmark: on every core, because the fallback takes milliseconds for a signature. */
export async function measureDigests(pairs: number, tell: (text: string) => void): Promise<Figure> {
  const startedAt = performance.now();
  const threads = availableParallelism();
  let done = 0;
  const told = (more: number): void => tell(`${(done += more)} of ${pairs} pairs verified`);
  const all = await Promise.all(
    Array.from({ length: threads }, async () => await inThread(Math.ceil(pairs / threads), told)),
  );
  const sum = (of: (one: Agreement) => number): number => all.reduce((n, one) => n + of(one), 0);
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
  const answered = verifyDigestNative === null ? "the fallback alone" : "addon and fallback";
  return {
    name: "digests",
    value: sum((one) => one.disagreements),
    detail: `${sum((one) => one.pairs)} pairs of a right and a wrong signature, ${answered}, ${seconds} s`,
  };
}

async function inThread(pairs: number, told: (more: number) => void): Promise<Agreement> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { pairs } });
  return await new Promise((resolve, reject) => {
    worker.on("message", (message: number | Agreement) => {
      if (typeof message === "number") told(message);
      else resolve(message);
    });
    worker.once("error", reject);
  });
}

function drawAny(): number {
  return randomInt(2 ** 32);
}

/** Another byte, a byte more or less, or the bytes in another order. */
function spoil(right: Uint8Array, drawn: number): Uint8Array {
  const wrong = right.slice();
  const at = (drawn >>> 3) % wrong.length;
  switch (drawn & 7) {
    case 0:
      return wrong.subarray(0, -1);
    case 1:
      return Uint8Array.from([...wrong, drawn >>> 24]);
    default:
      wrong[at] = (wrong[at] ?? 0) ^ (1 + ((drawn >>> 16) % 255));
      return wrong;
  }
}

/** Every kind of key that may sign an entry, most of all the one that nearly all have. */
function signers(): readonly Signer[] {
  const of = (
    { publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject },
    hash: HashName,
    share: number,
  ): Signer => ({
    key: importPublicKey(new Uint8Array(publicKey.export({ format: "der", type: "spki" }))),
    privateKey,
    hash,
    share,
  });
  return [
    of(generateKeyPairSync("ec", { namedCurve: "P-256" }), "sha256", 91),
    of(generateKeyPairSync("ec", { namedCurve: "P-384" }), "sha384", 2),
    of(generateKeyPairSync("ec", { namedCurve: "P-384" }), "sha256", 1),
    of(generateKeyPairSync("ec", { namedCurve: "P-521" }), "sha512", 1),
    of(generateKeyPairSync("rsa", { modulusLength: 2048 }), "sha256", 4),
    of(generateKeyPairSync("rsa", { modulusLength: 3072 }), "sha512", 1),
  ];
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  const { pairs } = workerData as { readonly pairs: number }; // whoever starts this thread gives exactly that
  port.postMessage(agreeOn(pairs, { draw: drawAny, told: (more) => port.postMessage(more) }));
}
