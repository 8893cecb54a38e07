/** The end of a transparency log: a final head, no entry after it, and clients that know when it ended. Reading goes on for ever. */
import {
  decodeUtf8,
  encodeBase64,
  encodeHex,
  encodeUtf8,
  equalBytes,
} from "../../core/formats/encoding.ts";
import { formatSigningConfig, parseSigningConfig } from "../../core/formats/signing-config.ts";
import {
  formatTrustedRoot,
  parseTrustedRoot,
  type TrustedLog,
} from "../../core/formats/trusted-root.ts";
import { freezeLog, latestHead } from "../../events/log.ts";
import { VaultRefused } from "../errors.ts";
import {
  conduct,
  type OperationRequest,
  type OperationResult,
  type OperationStep,
  type Site,
} from "./conduct.ts";
import type { Published } from "./published.ts";
import { type NewTarget, openOffline, publish, trustedRootName } from "./steps.ts";

/** What is asked for. */
export interface LogFreeze {
  readonly log: string;
  /** The generation of Rekor that has no log to take entries any more; null if there is another log, or it is no Rekor. */
  readonly ends: 1 | 2 | null;
}

/** Freezes a log. @throws {VaultRefused} with one sentence @throws {Failure} of an ask */
export async function freezeLogForever(
  request: OperationRequest,
  { log, ends }: LogFreeze,
): Promise<OperationResult> {
  return await conduct(request, {
    name: `freeze-${log}`,
    parameters: { log, ends: String(ends) },
    async precondition() {
      await request.ask(latestHead, { log });
    },
    steps: [
      openOffline(request.offlineToken, { certifies: false }),
      endLog(log),
      publish(`publish the end of ${log}`, async (published, site) => {
        return await withoutLog(published, ends, site);
      }),
    ],
  });
}

function endLog(log: string): OperationStep {
  return {
    title: `freeze ${log}`,
    async perform({ ask, bench }) {
      bench.transcript.once("freezing", { log });
      const { head, frozenAtMs } = await ask(freezeLog, { log });
      const { logId, head: latest } = await ask(latestHead, { log });
      if (latest.size !== head.size || !equalBytes(latest.root, head.root)) {
        throw new VaultRefused(`the log ${log} shows another head than it was frozen with`);
      }
      bench.transcript.once("frozen", { log }, () => ({
        logId: encodeBase64(logId),
        size: head.size.toString(),
        root: encodeHex(head.root),
        checkpoint: head.checkpoint,
        frozenAtMs: Number(frozenAtMs),
      }));
    },
  };
}

/** The targets by which clients know when a log ended, which the transcript tells as `frozen`. */
export async function withoutLog(
  published: Published,
  ends: LogFreeze["ends"],
  { bench }: Site,
): Promise<readonly NewTarget[]> {
  const frozen = bench.transcript.lines.findLast(({ what }) => what === "frozen")?.detail;
  // Whole seconds, both ends included: nothing that it took may fall out of its term.
  const end = new Date(Math.ceil(Number(frozen?.["frozenAtMs"]) / 1_000) * 1_000);
  const root = parseTrustedRoot(decodeUtf8(await published.read(trustedRootName)));
  const ended = (log: TrustedLog): TrustedLog =>
    encodeBase64(log.logId) === frozen?.["logId"] && log.validFor.end === null
      ? { ...log, validFor: { ...log.validFor, end } }
      : log;
  const content = formatTrustedRoot({
    ...root,
    tlogs: root.tlogs.map(ended),
    ctlogs: root.ctlogs.map(ended),
  });
  return [
    { name: trustedRootName, content: encodeUtf8(content) },
    ...(ends === null ? [] : await closed(published, ends, end)),
  ];
}

/** Signing configurations name a service no longer that takes nothing. */
async function closed(
  published: Published,
  generation: number,
  end: Date,
): Promise<readonly NewTarget[]> {
  const changed: NewTarget[] = [];
  for (const { name } of published.targets.targets) {
    if (!name.startsWith("signing_config")) continue;
    const config = parseSigningConfig(decodeUtf8(await published.read(name)));
    const rekorTlogUrls = config.rekorTlogUrls.map((service) =>
      service.majorApiVersion === generation && service.validFor.end === null
        ? { ...service, validFor: { ...service.validFor, end } }
        : service,
    );
    if (rekorTlogUrls.every((service, at) => service === config.rekorTlogUrls[at])) continue;
    changed.push({ name, content: encodeUtf8(formatSigningConfig({ ...config, rekorTlogUrls })) });
  }
  return changed;
}
