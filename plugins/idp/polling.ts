/**
 * What RFC 8628 asks of the device flow and the library leaves open: the interval (§3.2), `slow_down` (§3.5), and that people compare
 * a code that came with the address (§3.3.1), for which the library has a script instead.
 */
import type { ProviderContext } from "oidc-provider";
import { endpoints } from "./discovery.ts";

/** A step of the provider's own chain. */
export type Middleware = (context: ProviderContext, next: () => Promise<void>) => Promise<void>;

const plausible = /^[A-Za-z-]{1,16}$/;
/** Devices whose last poll is remembered; the oldest is forgotten first. */
const maxDevices = 2_000;
/** RFC 8628 §3.5: the interval grows by this with every poll that came too early. */
const growthMs = 5_000;
/** A poll that is late by a network's whims must not count as early. */
const toleranceMs = 250;

/** Makes the step. `nowMs` must not run backwards. */
export function createPolling(intervalSeconds: number, nowMs: () => number): Middleware {
  const polls = new Map<string, { readonly atMs: number; readonly intervalMs: number }>();
  const tooEarly = (deviceCode: string): boolean => {
    const last = polls.get(deviceCode);
    const intervalMs = last?.intervalMs ?? intervalSeconds * 1_000;
    const early = last !== undefined && nowMs() - last.atMs < intervalMs - toleranceMs;
    polls.delete(deviceCode);
    polls.set(deviceCode, { atMs: nowMs(), intervalMs: intervalMs + (early ? growthMs : 0) });
    const [oldest] = polls.size > maxDevices ? polls.keys() : [];
    if (oldest !== undefined) polls.delete(oldest);
    return early;
  };
  return async (context, next) => {
    const { user_code: userCode, ...query } = context.query;
    if (context.method === "GET" && context.path === endpoints.device && userCode !== undefined) {
      if (typeof userCode === "string" && plausible.test(userCode))
        context.state.userCode = userCode;
      context.query = query;
    }
    await next();
    const answer = context.body;
    if (answer === null || typeof answer !== "object") return;
    if (context.path === endpoints.deviceAuthorization && "device_code" in answer) {
      context.body = { ...answer, interval: intervalSeconds };
    }
    if (context.path !== endpoints.token || !("error" in answer)) return;
    const code = context.oidc.params?.["device_code"];
    if (answer.error === "authorization_pending" && typeof code === "string" && tooEarly(code)) {
      const description = "polls must be further apart";
      context.body = { error: "slow_down", error_description: description };
    }
  };
}
