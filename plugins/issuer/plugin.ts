/** The issuing CA: turns a proven identity into a certificate that is in the CT log. */
import { lookOften, watchForPromises } from "../../core/clock.ts";
import { gatheredVerifier } from "../../core/crypto/once-verify.ts";
import { randomPool } from "../../core/crypto/random.ts";
import { firstOfEachTurn } from "../../core/crypto/spot-check.ts";
import { Failure } from "../../events/failure.ts";
import { activate, readActive } from "./active.ts";
import { keysOf } from "./algorithms.ts";
import { distinct, readAlongside, takeTurns } from "./alongside.ts";
import { type Certified, type Desk, issue } from "./issuance.ts";
import { issuer } from "./manifest.ts";
import type { SecondLooks } from "./prepared.ts";
import { recordsIn } from "./records.ts";
import { countRefusalsIn } from "./refusals.ts";
import { inSlicesOf } from "./turns.ts";

/** Signatures asked for in one message: some milliseconds of the vault's work. */
const issuancesATurn = 64;

export default issuer.implement(async ({ ask, clock, config, journal, stores }) => {
  const store = await stores.open();
  const records = recordsIn(store);
  const swept = await records.sweep(clock.now());
  if (swept > 0) journal.warn("unfinished-intents-abandoned", { count: swept });
  let active = await readActive(store, { ask, config });
  const ends = new AsyncDisposableStack();
  const nextNotBefore = forwards(clock, await records.lastNotBefore(), ends);
  let activation: Promise<unknown> = Promise.resolve();

  async function activateInTurn(label: string) {
    const now = active;
    if (now.authority.label !== label) {
      active = await activate(store, { ask, config }, { now, label, nowMs: clock.now().getTime() });
      journal.info("issuer-activated", { key: label });
    }
    const activatedAtMs = BigInt(active.activatedAtMs ?? 0);
    return { activatedAtMs, lifetimeSeconds: config.lifetimeSeconds };
  }

  const permitted = keysOf(config.clientSigningAlgorithms);
  const refusals = ends.use(countRefusalsIn(store, clock));
  const given = { ask, clock, config, journal, records, refusals };
  const desk = { ...given, nextNotBefore, permitted, ...tools() };
  const alongside = await readAlongside({ ask, config });
  const turns = takeTurns();
  return {
    handlers: {
      // No asynchronous function: it would be kept, with the question, as long as the issuance is under way.
      issueCertificate(question, { trace }) {
        // Taken once: an activation meanwhile is for those who come later.
        const authority = turns(active.authority, alongside, {
          now: clock.now(),
          lifetimeSeconds: config.lifetimeSeconds,
        });
        const request = { ...question, requestId: idOf(trace) };
        return issue({ ...desk, authority }, request).then(below(authority.chain));
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
        const beside = alongside.map((other) => other.authority.chain);
        return { chains: distinct([authority.chain, ...beside, ...earlier]) };
      },
      async countRefusals({ refusals: counted }) {
        await Promise.resolve();
        for (const one of counted) refusals.count(one);
        return {};
      },
    },
    [Symbol.asyncDispose]: async () => await ends.disposeAsync(),
  };
});

/** What works for all requests that are under way, and gathers what they ask for. */
function tools() {
  return {
    looks: oneATurn(),
    random: randomPool(),
    turn: inSlicesOf(issuancesATurn),
    verifyProof: gatheredVerifier(),
  };
}

/** The vault has looked at every one of them, or will before it signs. */
function oneATurn(): SecondLooks {
  return {
    profile: firstOfEachTurn(),
    correspondence: firstOfEachTurn(),
    sct: firstOfEachTurn(),
    certificate: firstOfEachTurn(),
  };
}

/** What clients are given of a certificate. */
function below(chain: readonly Uint8Array[]) {
  return ({ certificate, ...sct }: Certified) => ({ chain: [certificate, ...chain], ...sct });
}

/** The trace id (W3C Trace Context §3.2.2.3): what the door calls the request. */
function idOf(trace: string): string {
  const from = trace.indexOf("-") + 1;
  if (from === 0) return trace;
  const to = trace.indexOf("-", from);
  return to < 0 ? trace.slice(from) : trace.slice(from, to);
}

/**
 * Whole seconds of a clock that must not go backwards.
 *
 * @throws {Failure} time-unavailable while it was set under us, lint-refused while it stands before the last one given.
 */
function forwards(clock: Desk["clock"], last: Date | null, ends: AsyncDisposableStack): () => Date {
  const steady = watchForPromises(clock);
  ends.use(lookOften(steady));
  let lastMs = last?.getTime() ?? 0;
  return () => {
    const now = steady.now();
    if (now === null) {
      throw new Failure(
        "time-unavailable",
        "the clock was set while the services ran; put it back, or if it is right confirm it with: chancery timestamp confirm-clock",
      );
    }
    const nowMs = Math.floor(now.getTime() / 1_000) * 1_000;
    if (nowMs < lastMs) {
      throw new Failure("lint-refused", "the clock stands before the last certificate's notBefore");
    }
    lastMs = nowMs;
    return new Date(nowMs);
  };
}
