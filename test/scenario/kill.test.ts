/** kill -9 of each process during a stream of signings: nothing acknowledged is lost, nothing forks, it comes back by itself. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  chancery,
  freshPlace,
  type Instance,
  type Place,
  startInstance,
} from "../support/instance.ts";
import { expectKept } from "../support/oracle.ts";
import { type Acknowledged, demoToken, signOnce } from "../support/signer.ts";

const email = "grace@example.com";
const streamLength = 100;
const killAfter = 30;
const backWithinMs = 10_000;

let place: Place & { readonly remove: () => Promise<void> };
let instance: Instance;
const everything: Acknowledged[] = [];

beforeAll(async () => {
  place = await freshPlace();
  instance = await startInstance(place);
});

afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  await place?.remove();
});

test.for(["vault", "services", "nats"] as const)(
  "kill -9 of the %s process loses nothing",
  { timeout: 120_000 },
  async (victim) => {
    const stream = await signThroughKill(victim);
    expect(stream.acknowledged.length).toBe(streamLength);
    expect(stream.outageMs).toBeLessThan(backWithinMs);
    everything.push(...stream.acknowledged);
    await expectKept(instance.origin, everything);
    const fsck = await chancery(instance.home, "fsck");
    expect(fsck).toMatchObject({ code: 0 });
  },
);

/** Signs until the stream is acknowledged, killing `victim` on the way; failures are retried, as a client would. */
async function signThroughKill(victim: "vault" | "services" | "nats") {
  const token = await demoToken(instance, email);
  const acknowledged: Acknowledged[] = [];
  let killedAt = 0;
  let outageMs = 0;
  const lanes = Array.from({ length: 4 }, async () => {
    while (acknowledged.length < streamLength) {
      const startedAt = performance.now();
      const one = await signOnce(instance, token, email).catch(() => null);
      if (one === null) {
        if (performance.now() - killedAt > 30_000)
          throw new Error("no signing has succeeded for 30 s");
        await sleep(50);
        continue;
      }
      if (killedAt > 0 && outageMs === 0 && startedAt > killedAt)
        outageMs = performance.now() - killedAt;
      if (acknowledged.length < streamLength) acknowledged.push(one);
      if (acknowledged.length >= killAfter && killedAt === 0) {
        killedAt = performance.now();
        process.kill(await instance.pid(victim), "SIGKILL");
      }
    }
  });
  await Promise.all(lanes);
  return { acknowledged, outageMs };
}
