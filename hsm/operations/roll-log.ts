/**
 * A Rekor log gets a successor while it runs: key and storage of the new one, clients that trust it, and only then the switch, which
 * the room of the logs makes in one step. The old one's end is published last; it is read for ever.
 */
import { encodeBase64, encodeHex } from "../../core/formats/encoding.ts";
import { latestHead, rollLog } from "../../events/log.ts";
import {
  conduct,
  type OperationRequest,
  type OperationResult,
  type OperationStep,
} from "./conduct.ts";
import { algorithmParameter, announceLog, type LogCreation, type LogHouse } from "./create-log.ts";
import { withoutLog } from "./freeze-log.ts";
import { publish, requireNewKey } from "./steps.ts";

/** A creation that takes over from another log. */
type LogSuccession = LogCreation & {
  readonly takesOver: NonNullable<LogCreation["takesOver"]>;
  readonly format: "rekor-v1" | "rekor-v2";
};

/** Rolls a log. @throws {VaultRefused} with one sentence @throws {Failure} of an ask */
export async function rollLogOver(
  request: OperationRequest,
  succession: LogSuccession,
  house: LogHouse,
): Promise<OperationResult> {
  const { log, format, key, origin, baseUrl, takesOver } = succession;
  const { from: after, treeId } = takesOver;
  return await conduct(request, {
    name: `roll-${log}`,
    parameters: {
      log,
      format,
      key,
      ...algorithmParameter(succession),
      origin,
      baseUrl,
      after,
      ...(treeId !== undefined && { treeId }),
    },
    async precondition() {
      await requireNewKey(request.ask, key);
      await house.requireNew(succession);
      await request.ask(latestHead, { log: after });
    },
    steps: [
      ...announceLog(request, succession, house),
      {
        // Before the switch, so that a start after it knows who has taken over.
        title: `add ${log} to the configuration`,
        async perform({ bench: { transcript } }) {
          const sha256 = await house.configure(succession, 0n);
          transcript.once("configured", { log }, () => ({ sha256 }));
        },
      },
      takeOver(succession),
      publish(`publish the end of ${after}`, async (published, site) => {
        return await withoutLog(published, null, site);
      }),
    ],
  });
}

function takeOver({ log, format, key, takesOver }: LogSuccession): OperationStep {
  const { from: after, treeId } = takesOver;
  return {
    title: `let ${log} take over from ${after}`,
    async perform({ ask, bench: { transcript } }) {
      transcript.once("freezing", { log: after });
      const named = { name: log, format, key, after, ...(treeId !== undefined && { treeId }) };
      const { final, finalLogId, frozenAtMs, firstIndex } = await ask(rollLog, named);
      transcript.once("frozen", { log: after }, () => ({
        logId: encodeBase64(finalLogId),
        size: final.size.toString(),
        root: encodeHex(final.root),
        checkpoint: final.checkpoint,
        frozenAtMs: Number(frozenAtMs),
        successorFirstIndex: String(firstIndex),
      }));
    },
  };
}
