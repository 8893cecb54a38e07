/** kill -9 of each process during a stream of signings: nothing acknowledged is lost, nothing forks, it comes back by itself. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { patience } from "../fault/patience.ts";
import { chancery, type Instance, type Place, startInstance } from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";
import { signThroughKill } from "../support/kill-stream.ts";
import { expectKept } from "../support/oracle.ts";
import type { Acknowledged } from "../support/signer.ts";

const email = "grace@example.com";
const streamLength = 100;
const killAfter = 30;
const backWithinMs = 10_000;

let place: Place & { readonly remove: () => Promise<void> };
let instance: Instance;
const everything: Acknowledged[] = [];

beforeAll(async () => {
  place = await preparedPlace();
  instance = await startInstance(place);
});

afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  await place?.remove();
});

test.for(["vault", "services", "nats"] as const)(
  "kill -9 of the %s process loses nothing",
  async (victim) => {
    const plan = { email, length: streamLength, killAfter };
    const stream = await signThroughKill(instance, victim, plan);
    expect(stream.acknowledged.length).toBeGreaterThanOrEqual(streamLength);
    expect(stream.outageMs).toBeLessThan(patience(backWithinMs));
    everything.push(...stream.acknowledged);
    await expectKept(instance.origin, everything);
    const fsck = await chancery(instance.home, "fsck");
    expect(fsck).toMatchObject({ code: 0 });
  },
);
