/**
 * How one Rekor log takes over from another. Its first entry is the final checkpoint of the log before it, as a `hashedrekord` of
 * the checkpoint's text with the signature that is on it and the key that made it: an entry like any other to whoever reads the log,
 * which ties the two trees together under the new one's checkpoints.
 */
import type { PublicKey } from "../../core/crypto/keys.ts";
import { sha256 } from "../../core/crypto/hash.ts";
import { encodeUtf8, equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { parseNote } from "../../core/formats/note.ts";
import { canonicalBody } from "../../core/formats/rekor-entry.ts";
import { canonicalBodyV2, signedNoteKeyDetails } from "../../core/formats/rekor-v2.ts";
import { StartRefused } from "../../core/plugin.ts";
import { Failure } from "../../events/failure.ts";
import type { LogPhase } from "../../events/log.ts";
import type { Log } from "./log.ts";
import type { LogConfig } from "./manifest.ts";

const beginWithinMs = 15_000;

/** What a log's life depends on; all of it is durable. */
export interface Progress {
  /** True if it has been given a tree: it has no predecessor, or that one is frozen and the log runs. */
  readonly hasBegun: boolean;
  readonly isFrozen: boolean;
  /** True if the log that takes over from it has begun. */
  readonly isTakenOver: boolean;
  /** True if its key is not needed any more. */
  readonly isRetired: boolean;
}

/** How far a log is: created, then active, then frozen, then sharded, then retired; never back. */
export function phaseOf({ hasBegun, isFrozen, isTakenOver, isRetired }: Progress): LogPhase {
  if (!hasBegun) return "created";
  if (!isFrozen) return "active";
  if (isRetired) return "retired";
  return isTakenOver ? "sharded" : "frozen";
}

/** Does nothing for a log that may be retired. @throws {Failure} operation-refused with what must come before */
export function requireRetirable(name: string, phase: LogPhase): void {
  switch (phase) {
    case "sharded":
    case "retired":
      return;
    case "created":
      throw new Failure("operation-refused", `log "${name}" has not begun`);
    case "active":
      throw new Failure("operation-refused", `log "${name}" takes entries: roll it first`);
    case "frozen":
      throw new Failure(
        "operation-refused",
        `no log begins with the final checkpoint of log "${name}": only its key vouches for it`,
      );
  }
}

/** The body of the entry that a log begins with. @throws {Malformed} if the log before it is of a format or key that cannot be logged */
export function takeoverBody(
  format: LogConfig["format"],
  { checkpoint, publicKey }: { readonly checkpoint: string; readonly publicKey: PublicKey },
): Uint8Array {
  const { text, signatures } = parseNote(checkpoint);
  const [own] = signatures;
  if (own === undefined) throw new Malformed("checkpoint: not signed");
  const { signature } = own;
  const digest = sha256(encodeUtf8(text));
  const { algorithm, spki } = publicKey;
  switch (format) {
    case "rekor-v1": {
      const verifier = { label: "PUBLIC KEY", der: spki } as const;
      const hashAlgorithm = "sha256";
      return canonicalBody({ kind: "hashedrekord", hashAlgorithm, digest, signature, verifier });
    }
    case "rekor-v2": {
      const keyDetails = signedNoteKeyDetails(algorithm);
      if (keyDetails === undefined) throw new Malformed(`${algorithm}: not a key of an entry`);
      const verifier = { kind: "publicKey", rawBytes: spki, keyDetails } as const;
      return canonicalBodyV2({ kind: "hashedrekord", digest, signature, verifier });
    }
    case "rfc6962":
      throw new Malformed("a CT log has shards by date, and no log takes over from one");
  }
}

/**
 * Makes sure that a log begins with the final checkpoint of the frozen one it takes over from. Nobody else may append before.
 *
 * @throws {StartRefused} if it begins with anything else. @throws {Failure} if it cannot be published now
 */
export async function begin(
  log: Log,
  before: Log,
  { format, name, nowMs }: Pick<LogConfig, "format" | "name"> & { readonly nowMs: number },
): Promise<void> {
  const { checkpoint } = before.head();
  const body = takeoverBody(format, { checkpoint, publicKey: before.publicKey });
  const [first] = await log.entries(0n, 1);
  if (first === undefined) {
    const deadlineAtMs = nowMs + beginWithinMs;
    const envelope = { id: `begin/${name}`, trace: "", from: "log", deadlineAtMs };
    await log.append({ kind: "body", body }, envelope);
  } else if (!equalBytes(first.entry, body)) {
    throw new StartRefused(
      `log "${name}": its first entry is not the final checkpoint of the log it takes over from; restore the right store`,
    );
  }
}
