/** The issuing CA: turns a proven identity into a certificate that is in the CT log. */
import { Failure } from "../../events/failure.ts";
import { describeKey } from "../../events/hsm.ts";
import { readAuthority } from "./authority.ts";
import { issue } from "./issuance.ts";
import { issuer } from "./manifest.ts";
import { recordsIn } from "./records.ts";

export default issuer.implement(async ({ ask, clock, config, journal, stores }) => {
  const records = recordsIn(await stores.open());
  const swept = await records.sweep(clock.now());
  if (swept > 0) journal.warn("unfinished-intents-abandoned", { count: swept });
  const [issuing, log] = await Promise.all([
    ask(describeKey, { key: config.key }),
    ask(describeKey, { key: config.logKey }),
  ]);
  const authority = readAuthority(issuing, log);
  const chain = [...authority.chain];
  let lastMs = (await records.lastNotBefore())?.getTime() ?? 0;

  function nextNotBefore(): Date {
    const nowMs = Math.floor(clock.now().getTime() / 1_000) * 1_000;
    if (nowMs < lastMs) {
      throw new Failure("lint-refused", "the clock stands before the last certificate's notBefore");
    }
    lastMs = nowMs;
    return new Date(nowMs);
  }

  const desk = { ask, clock, config, journal, authority, records, nextNotBefore };
  return {
    handlers: {
      issueCertificate: async (question) => ({ chain: [await issue(desk, question), ...chain] }),
      async trustBundle() {
        await Promise.resolve();
        return { chains: [chain] };
      },
    },
  };
});
