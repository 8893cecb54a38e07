/**
 * Transparency log checkpoints, the text a log and its witnesses sign: c2sp.org/tlog-checkpoint v1.0.0.
 *
 *     example.com/behind-the-sofa
 *     20852163
 *     CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
 */
import { decodeBase64, encodeBase64 } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** A log's name and a tree's size and root. */
export interface Checkpoint {
  /** The log's identity: not empty, one line, no control characters. */
  readonly origin: string;
  /** Number of leaves, below 2^63. */
  readonly size: bigint;
  /** RFC 6962 root hash at that size, 32 bytes. */
  readonly root: Uint8Array;
}

const maxSize = 2n ** 63n - 1n;

/**
 * The note text, with its final newline. We never write extension lines: witnesses do not sign them.
 *
 * @throws {Malformed} if {@link parseCheckpoint} would not give back the same.
 */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  if (origin === "" || /\p{Cc}/u.test(origin) || !origin.isWellFormed()) {
    throw new Malformed("checkpoint: origin");
  }
  if (size < 0n || size > maxSize) throw new Malformed("checkpoint: tree size");
  if (root.length !== 32) throw new Malformed("checkpoint: root hash length");
  return `${origin}\n${size}\n${encodeBase64(root)}\n`;
}

/**
 * Parses a note text. Extension lines are rejected, as for {@link formatCheckpoint}.
 *
 * @throws {Malformed} unless formatting the result gives back exactly `text`.
 */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = "", size = "", root = "", end, ...extensions] = text.split("\n");
  if (end !== "" || extensions.length > 0) throw new Malformed("checkpoint: lines");
  if (!/^(?:0|[1-9][0-9]{0,18})$/.test(size)) throw new Malformed("checkpoint: tree size");

  const checkpoint = { origin, size: BigInt(size), root: decodeBase64(root) };
  if (formatCheckpoint(checkpoint) !== text) throw new Malformed("checkpoint: not canonical");
  return checkpoint;
}
