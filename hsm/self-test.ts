/** Signs with keys to see that they are the pinned ones, and how fast they are. */
import { randomUUID } from "node:crypto";
import { encodeUtf8 } from "../core/formats/encoding.ts";
import { Failure } from "../events/failure.ts";
import { VaultUnavailable } from "./errors.ts";
import type { VaultKey } from "./keyring.ts";
import type { Ledger } from "./ledger.ts";
import { intentOf, newJob } from "./job.ts";
import type { Signer } from "./signer.ts";

/**
 * A key below this is signed with on the main thread: handing it to another costs as much. Between the slowest of the fast keys (P-256
 * in software, 0.04 ms, three times that on a busy machine) and the fastest of the slow ones (P-384 in software, 0.5 ms).
 */
const fastSignatureMs = 0.25;
const selfTestSignatures = 3;

/** Signs with each key under rows of its own, and chooses the thread that signs with it. @throws {VaultUnavailable} */
export async function testKeys(
  keys: readonly VaultKey[],
  {
    ledger,
    signer,
    signing,
  }: {
    readonly ledger: Ledger;
    readonly signer: Signer;
    readonly signing: "auto" | "sync" | "async";
  },
): Promise<void> {
  const message = encodeUtf8(`chancery vault self-test ${randomUUID()}`);
  const messages = Array.from({ length: selfTestSignatures }, () => message);
  const prepared = { messages, claim: { kind: "none" }, binding: { kind: "none" } } as const;
  const jobs = keys.map((key) =>
    newJob({ key, purpose: "selfTest", asker: "hsm", trace: "", prepared }),
  );
  await ledger.transaction(() => {
    for (const job of jobs) job.sequence = ledger.intend(intentOf(job));
  });
  for (const job of jobs) {
    // Measured on the main thread, one key after the other.
    const outcome = await signer.perform(job, "sync");
    if (outcome instanceof Failure) {
      throw new VaultUnavailable(`the key ${job.key.label} does not sign: ${outcome.message}`);
    }
    const fast = outcome.fastestMs < fastSignatureMs;
    signer.setMode(job.key.label, signing === "auto" ? (fast ? "sync" : "async") : signing);
  }
  await ledger.flush();
}
