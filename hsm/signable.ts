/**
 * From a signable to the bytes that are signed. Pure: it formats, and holds what it is given against what is bound to the key. A
 * new kind of signable does not compile until it is handled here.
 */
import { hash } from "node:crypto";
import { formatCheckpoint } from "../core/formats/checkpoint.ts";
import { encodeHex, encodeUtf8 } from "../core/formats/encoding.ts";
import { Malformed } from "../core/formats/malformed.ts";
import { formatSetPayload } from "../core/formats/rekor-entry.ts";
import { sctSignatureInput, treeHeadSignatureInput } from "../core/formats/sct.ts";
import { Failure } from "../events/failure.ts";
import type { Signable } from "../events/hsm.ts";
import { type CertificateLimits, prepareCertificate, type VerifySeal } from "./certificate.ts";
import { prepareIdToken } from "./id-token.ts";
import type { VaultKey } from "./keyring.ts";
import type { Prepared } from "./prepared.ts";
import { prepareRole, type RoleLimits } from "./role.ts";
import { prepareTimestamp } from "./timestamp.ts";

/** How far the clock of a log may be ahead of the vault's. */
const maxSkewMs = 5_000n;

/** What bounds signables besides their key. */
export interface Limits extends CertificateLimits, RoleLimits {
  readonly nowMs: number;
  readonly verifySeal: VerifySeal;
}

/**
 * Formats a signable for a key whose purposes include it.
 *
 * @throws {Failure} lint-refused or purpose-refused
 */
export function prepare(signable: Signable, key: VaultKey, limits: Limits): Prepared {
  try {
    return format(signable, key, limits);
  } catch (error) {
    if (error instanceof Malformed) throw new Failure("lint-refused", error.message);
    throw error;
  }
}

function format(signable: Signable, key: VaultKey, limits: Limits): Prepared {
  switch (signable.purpose) {
    case "certificate":
      return prepareCertificate(signable, key, limits);
    case "scts":
      for (const { timestampMs } of signable.entries) notAhead(timestampMs, limits);
      return unguarded(signable.entries.map(sctSignatureInput));
    case "signedEntryTimestamps": {
      for (const { integratedTimeSeconds } of signable.entries) {
        notAhead(integratedTimeSeconds * 1_000n, limits);
      }
      const logId = hash("sha256", key.publicKey, "buffer");
      return unguarded(
        signable.entries.map(({ body, integratedTimeSeconds, index }) =>
          formatSetPayload({ body, integratedTimeSeconds, logId, logIndex: index }),
        ),
      );
    }
    case "checkpoint": {
      const { size, root, consistencyProof } = signable;
      const text = encodeUtf8(formatCheckpoint({ origin: originOf(key), size, root }));
      return {
        messages: [text],
        claim: { kind: "tree", size, root, consistencyProof },
        binding: { kind: "tree", size: size.toString(), root: encodeHex(root) },
        signed: () => text,
      };
    }
    case "treeHead": {
      const { size, root, consistencyProof, timestampMs } = signable;
      notAhead(timestampMs, limits);
      return {
        messages: [treeHeadSignatureInput({ timestampMs, size, root })],
        claim: { kind: "tree", size, root, consistencyProof, timestampMs },
        binding: { kind: "tree", size: size.toString(), root: encodeHex(root) },
      };
    }
    case "timestamp":
      return prepareTimestamp(signable, key, limits.nowMs);
    case "tufRole":
      return prepareRole(signable.role, key, limits);
    case "idToken":
      return prepareIdToken(signable.claims, key, limits.nowMs);
  }
}

/** What a log says has happened has happened; how long ago is not known here, because a promise may be owed for long. */
function notAhead(timeMs: bigint, { nowMs }: Limits): void {
  if (timeMs > BigInt(nowMs) + maxSkewMs) throw new Malformed("a log's time is in the future");
}

function unguarded(messages: readonly Uint8Array[]): Prepared {
  return { messages, claim: { kind: "none" }, binding: { kind: "none" } };
}

function originOf(key: VaultKey): string {
  if (key.origin === undefined) {
    throw new Failure("purpose-refused", `the keyring binds no origin to ${key.label}`);
  }
  return key.origin;
}
