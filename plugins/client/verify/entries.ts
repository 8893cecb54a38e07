/** All log entries of a bundle: each must hold, and enough different logs must have promised. */
import { encodeBase64, equalBytes } from "../../../core/formats/encoding.ts";
import type { LogEntry } from "../../../core/formats/bundle-entry.ts";
import type { TrustedLog } from "../../../core/formats/trusted-root.ts";
import { type Claim, verifyCorrespondence } from "./entry.ts";
import { isOfShard, verifyInclusionProof, verifySignedEntryTimestamp } from "./inclusion.ts";
import { NotVerified } from "./not-verified.ts";

/** What the logs vouch for. */
export interface Logged {
  /** Times at which logs say the signature existed, one an entry that has a signed entry timestamp. */
  readonly times: readonly Date[];
  /** Different logs that hold the entry. */
  readonly logs: number;
}

/**
 * Verifies every entry.
 *
 * @throws {NotVerified} if one is by an unknown log, unproven, or about something else, or there are entries of fewer than `threshold`
 * different logs.
 */
export function verifyEntries(
  entries: readonly LogEntry[],
  tlogs: readonly TrustedLog[],
  claim: Claim,
  threshold = 1,
): Logged {
  const times: Date[] = [];
  const logs = new Set<string>();
  for (const entry of entries) {
    const time = verifyEntry(entry, tlogs, claim);
    if (time !== null) times.push(time);
    logs.add(encodeBase64(entry.logId));
  }
  if (logs.size < threshold) {
    throw new NotVerified(
      "log-entry",
      `the bundle has entries of ${logs.size} transparency logs, ${threshold} needed`,
    );
  }
  return { times, logs: logs.size };
}

function verifyEntry(entry: LogEntry, tlogs: readonly TrustedLog[], claim: Claim): Date | null {
  const trusted = tlogs.find(({ logId }) => equalBytes(logId, entry.logId));
  if (trusted === undefined) {
    throw new NotVerified(
      "log-entry",
      "the entry is of a log that the trusted root does not know; is it the right instance's?",
    );
  }
  verifyCorrespondence(entry, claim);
  const { signedEntryTimestamp, inclusionProof } = entry;
  if (signedEntryTimestamp === null && inclusionProof === null) {
    throw new NotVerified("log-entry", "the entry has neither inclusion proof nor promise");
  }
  if (inclusionProof === null && isOfShard(entry)) {
    throw new NotVerified("log-entry", "the entry of a Rekor v2 log has no inclusion proof");
  }
  if (inclusionProof !== null) verifyInclusionProof(entry, inclusionProof, trusted);
  return verifySignedEntryTimestamp(entry, trusted);
}
