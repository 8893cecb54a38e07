/**
 * The end of a log's key: the log room needs it no more, and then the vault signs nothing with it. What it signed stays trusted for its
 * term, and is read for ever; the key may be destroyed by a ceremony, which refuses that of any log that is not as far.
 */
import { decodeUtf8, encodeBase64, encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import { parseTrustedRoot } from "../../core/formats/trusted-root.ts";
import { retireKey } from "../../events/hsm.ts";
import { latestHead, listLogs, retireLog } from "../../events/log.ts";
import { VaultRefused } from "../errors.ts";
import { conduct, type OperationRequest, type OperationResult } from "./conduct.ts";
import { readPublished } from "./published.ts";
import { openOffline, trustedRootName } from "./steps.ts";

/** Retires a log. @throws {VaultRefused} with one sentence @throws {Failure} of an ask */
export async function retireLogForever(
  request: OperationRequest,
  log: string,
): Promise<OperationResult> {
  const { ask, home } = request;
  return await conduct(request, {
    name: `retire-${log}`,
    parameters: { log },
    async precondition() {
      const { logs } = await ask(listLogs, {});
      const phase = logs.find(({ name }) => name === log)?.phase;
      if (phase !== "sharded" && phase !== "retired") {
        throw new VaultRefused(
          `"${log}" is ${phase ?? "no log"}: only a log that another has taken over from is retired (roll-log ${log})`,
        );
      }
      const { logId } = await ask(latestHead, { log });
      const published = await readPublished(home, ask);
      const { tlogs } = parseTrustedRoot(decodeUtf8(await published.read(trustedRootName)));
      const trusted = tlogs.find((one) => equalBytes(one.logId, logId));
      // Clients would go on trusting a key that nobody looks after.
      if (!trusted || trusted.validFor.end === null) {
        throw new VaultRefused(`clients are not told of the end of "${log}": roll it again`);
      }
    },
    steps: [
      openOffline(request.offlineToken, { certifies: false }),
      {
        title: `retire ${log}`,
        async perform({ bench: { transcript } }) {
          transcript.once("retiring", { log });
          const { head, logId, retiredAtMs } = await ask(retireLog, { log });
          transcript.once("retired", { log }, () => ({
            logId: encodeBase64(logId),
            size: head.size.toString(),
            root: encodeHex(head.root),
            checkpoint: head.checkpoint,
            retiredAtMs: Number(retiredAtMs),
          }));
        },
      },
      {
        title: `end the use of the key of ${log} in the vault`,
        async perform({ bench: { transcript } }) {
          const { logs } = await ask(listLogs, {});
          const key = logs.find(({ name }) => name === log)?.key;
          if (key === undefined) throw new VaultRefused(`there is no log "${log}"`);
          await ask(retireKey, { key });
          transcript.once("key retired", { log, label: key });
        },
      },
    ],
  });
}
