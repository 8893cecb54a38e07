/** When the time may not be told: the clock was set, a source disagrees, or none answers. An operator may overrule the first. */
import type { Health } from "../../core/plugin.ts";
import { confirmationIn, SteadyClock } from "../../core/clock.ts";
import type { TimestampContext } from "./manifest.ts";
import { TimeSources } from "./sources.ts";

const watchEveryMs = 100;

/** The time, guarded. */
export interface GuardedTime extends AsyncDisposable {
  /** The time, or why it may not be told. */
  now(): Date | string;
  health(): Health;
}

/** Begins to watch. Resolves once every configured source has been asked once. */
export async function guardTime(context: TimestampContext): Promise<GuardedTime> {
  const { config, journal, home } = context;
  const confirmation = confirmationIn(home());
  const clock = { now: () => context.clock.now(), confirmation };
  const steadyMs = () => performance.now();
  const steady = new SteadyClock({ ...config, clock, steadyMs });
  const sources = config.ntp
    ? new TimeSources({
        config: config.ntp,
        nowMs: () => clock.now().getTime(),
        steadyMs,
        report: (server, reason) => journal.warn("time-source-silent", { server, reason }),
      })
    : null;
  let doubted = false;
  const watch = () => {
    const isDoubted = steady.now() === null;
    if (isDoubted && !doubted) journal.error("clock-stepped", { maxStepMs: config.maxStepMs });
    if (!isDoubted && doubted) journal.warn("clock-believed-again");
    doubted = isDoubted;
  };
  await sources?.ask();
  const timers = [
    setInterval(watch, watchEveryMs),
    ...(sources && config.ntp ? [setInterval(() => void sources.ask(), config.ntp.everyMs)] : []),
  ];
  for (const timer of timers) timer.unref();
  const reason = () =>
    steady.doubtedSince === null
      ? (sources?.reason() ?? null)
      : "the clock was set; it must go back, or an operator confirm it with: chancery timestamp confirm-clock";
  let troubledSince: Date | null = null;
  return {
    now() {
      const now = steady.now();
      return reason() ?? now ?? "the clock is in doubt";
    },
    health() {
      const why = reason();
      if (why === null) {
        troubledSince = null;
        return { status: "ok" };
      }
      troubledSince ??= steady.doubtedSince ?? clock.now();
      return { status: "degraded", reason: why, since: troubledSince };
    },
    async [Symbol.asyncDispose]() {
      for (const timer of timers) clearInterval(timer);
      await Promise.resolve();
    },
  };
}
