/** Certificate transparency (RFC 6962): holds submissions against the rules, and lets the log room keep them. */
import { everyOne, firstOfEachTurn } from "../../core/crypto/spot-check.ts";
import { type Envelope, StartRefused } from "../../core/plugin.ts";
import { equalBytes } from "../../core/formats/encoding.ts";
import type { QuestionOf } from "../../events/contract.ts";
import type { addChain } from "../../events/ct.ts";
import { Failure } from "../../events/failure.ts";
import { describeKey, listOwnRoots } from "../../events/hsm.ts";
import { appendEntry } from "../../events/log.ts";
import { acceptChain, type Trust } from "./chain.ts";
import { ct } from "./manifest.ts";
import { againWithRoots, ownRoots, trustIn } from "./own-roots.ts";
import { purposeOids } from "./purposes.ts";
import { inLog, reads } from "./reads.ts";
import { shardCalled, shardFor, shardsOf } from "./shards.ts";

const noExtensions = new Uint8Array();
/** How long before the last shard ends its operator is told, at every start. */
const noticeMs = 60 * 86_400_000;

export default ct.implement(async ({ ask, clock, config, journal }) => {
  if (config.log !== undefined && config.shards !== undefined) {
    throw new StartRefused("ct: the configuration names one log and shards; say only one of them");
  }
  const shards = shardsOf(config);
  const last = shards.at(-1)?.end ?? null;
  if (last !== null && last.getTime() - clock.now().getTime() < noticeMs) {
    // From then on no certificate is issued: time to make the next shard.
    journal.warn("ct.last-shard-ends-soon", { end: last.toISOString() });
  }
  const { accepts, rejectExpired } = config;
  const described = await Promise.all(accepts.map(async (key) => await ask(describeKey, { key })));
  const rules = { purposes: purposeOids(config.keyPurposes), rejectExpired };
  const chains = described.map(({ chain = [] }) => chain);
  const trust = trustIn(chains, { rules, clock, journal });

  const listed = async () => await ask(listOwnRoots, {});
  const lookForRoots = ownRoots(trust, listed, { rules, clock, journal });
  // Those that have taken over since; without the vault's word nothing is believed.
  await lookForRoots(true);
  const lookAtOurs = firstOfEachTurn();

  async function add(
    kind: "certificate" | "precertificate",
    { chain, log: asked }: QuestionOf<typeof addChain>,
    { from }: Pick<Envelope, "from">,
  ) {
    if (asked !== undefined) shardCalled(shards, asked);
    // What the issuer hands in, the vault has verified before it gave it; everybody else may send what they like.
    const look = from === "issuer" ? lookAtOurs : everyOne;
    const now = { ...rules, now: clock.now(), look };
    const judge = () => acceptChain(kind, chain, trust, now);
    const judged = againWithRoots(judge, { trust, look: lookForRoots, from });
    const accepted = judged instanceof Promise ? await judged : judged;
    const { entry, notAfter } = accepted;
    const { log } = shardFor(shards, notAfter, asked);
    const question = { log, entry, prove: false };
    const taken = await inLog(() => ask(appendEntry, question), ["log-frozen"]);
    const { logId, integratedAtMs: timestampMs, promise: signature } = taken;
    if (signature === undefined) {
      throw new Failure(
        "log-unavailable",
        `the log "${log}" gives no SCT: is it of format rfc6962?`,
      );
    }
    return { logId, timestampMs, extensions: noExtensions, signature };
  }

  return {
    handlers: {
      addChain: (question, envelope) => add("certificate", question, envelope),
      addPreChain: (question, envelope) => add("precertificate", question, envelope),
      ...reads(ask, shards),
      async getRoots({ log }) {
        shardCalled(shards, log);
        await lookForRoots(false);
        return { certificates: rootsOf(trust) };
      },
    },
  };
});

/** Several issuing CAs may share a root. */
function rootsOf({ roots }: Trust): Uint8Array[] {
  const certificates = roots.map(({ certificate }) => certificate.der);
  return certificates.filter(
    (der, at) => certificates.findIndex((other) => equalBytes(other, der)) === at,
  );
}
