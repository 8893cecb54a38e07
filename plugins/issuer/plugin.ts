/** The issuing CA: turns a proven identity into a certificate that is in the CT log. */
import { watchForPromises } from "../../core/clock.ts";
import { Failure } from "../../events/failure.ts";
import { activate, readActive } from "./active.ts";
import { issue } from "./issuance.ts";
import { issuer } from "./manifest.ts";
import { recordsIn } from "./records.ts";

export default issuer.implement(async ({ ask, clock, config, journal, stores }) => {
  const store = await stores.open();
  const records = recordsIn(store);
  const swept = await records.sweep(clock.now());
  if (swept > 0) journal.warn("unfinished-intents-abandoned", { count: swept });
  let active = await readActive(store, { ask, config });
  let lastMs = (await records.lastNotBefore())?.getTime() ?? 0;
  const steady = watchForPromises(clock);
  let activation: Promise<unknown> = Promise.resolve();

  function nextNotBefore(): Date {
    const now = steady.now();
    if (now === null) {
      throw new Failure(
        "time-unavailable",
        "the clock was set while the services ran; put it back, or start them again if it is right",
      );
    }
    const nowMs = Math.floor(now.getTime() / 1_000) * 1_000;
    if (nowMs < lastMs) {
      throw new Failure("lint-refused", "the clock stands before the last certificate's notBefore");
    }
    lastMs = nowMs;
    return new Date(nowMs);
  }

  async function activateInTurn(label: string) {
    const now = active;
    if (now.authority.label !== label) {
      active = await activate(store, { ask, config }, { now, label, nowMs: clock.now().getTime() });
      journal.info("issuer-activated", { key: label });
    }
    const activatedAtMs = BigInt(active.activatedAtMs ?? 0);
    return { activatedAtMs, lifetimeSeconds: config.lifetimeSeconds };
  }

  const desk = { ask, clock, config, journal, records, nextNotBefore };
  return {
    handlers: {
      async issueCertificate(question) {
        // Taken once: an activation meanwhile is for those who come later.
        const { authority } = active;
        const leaf = await issue({ ...desk, authority }, question);
        return { chain: [leaf, ...authority.chain] };
      },
      async activateIssuer({ key }, { from }) {
        if (from !== "operator") {
          throw new Failure("access-denied", "only operators put a CA into use");
        }
        const done = activation.then(async () => await activateInTurn(key));
        activation = done.catch(() => undefined);
        return await done;
      },
      async trustBundle() {
        await Promise.resolve();
        const { authority, earlier } = active;
        return { chains: [authority.chain, ...earlier].map((chain) => [...chain]) };
      },
    },
  };
});
