/** A stream of signings with a kill -9 in it, retried as a client would. */
import { setTimeout as sleep } from "node:timers/promises";
import { patience } from "../fault/patience.ts";
import type { Instance } from "./instance.ts";
import { type Acknowledged, demoToken, signOnce } from "./signer.ts";

/** How many signings, and after how many of them the victim is killed. */
export interface KillPlan {
  readonly email: string;
  readonly length: number;
  readonly killAfter: number;
}

/** Signs until `length` signings are acknowledged, killing the process `victim` on the way. */
export async function signThroughKill(
  instance: Instance,
  victim: string,
  { email, length, killAfter }: KillPlan,
): Promise<{ readonly acknowledged: readonly Acknowledged[]; readonly outageMs: number }> {
  const acknowledged: Acknowledged[] = [];
  const beganAt = performance.now();
  let killedAt = 0;
  let outageMs = 0;
  const lanes = Array.from({ length: 4 }, async () => {
    // Until one that began after the kill is acknowledged, the stream has not survived it.
    while (acknowledged.length < length || outageMs === 0) {
      const startedAt = performance.now();
      const one = await demoToken(instance, email)
        .then((token) => signOnce(instance, token, email))
        .catch(() => null);
      if (one === null) {
        // A client that is turned away, be it for a moment's load, comes back.
        if (performance.now() - (killedAt || beganAt) > patience(30_000))
          throw new Error("no signing has succeeded for 30 s");
        await sleep(50);
        continue;
      }
      if (killedAt > 0 && outageMs === 0 && startedAt > killedAt)
        outageMs = performance.now() - killedAt;
      acknowledged.push(one);
      if (acknowledged.length >= killAfter && killedAt === 0) {
        killedAt = performance.now();
        process.kill(await instance.pid(victim), "SIGKILL");
      }
    }
  });
  await Promise.all(lanes);
  return { acknowledged, outageMs };
}

/** Waits until every room is well again; rejects with what the door said last if that takes longer than `withinMs`. */
export async function expectReady(origin: string, withinMs: number): Promise<void> {
  const giveUpAt = performance.now() + patience(withinMs);
  for (;;) {
    // The door itself may be what is not back.
    const answer = await fetch(`${origin}/readyz`, { signal: AbortSignal.timeout(10_000) }).catch(
      String,
    );
    const said = typeof answer === "string" ? answer : await answer.text();
    if (typeof answer !== "string" && answer.status === 200) return;
    if (performance.now() > giveUpAt) throw new Error(said);
    await sleep(50);
  }
}
