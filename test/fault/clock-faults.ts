/** Faults of the wall clock: C1 to C5 of reliability.md §4.4. The machine's steady clock stays right. */
import { setTimeout as sleep } from "node:timers/promises";
import type { FaultKind } from "./fault-kind.ts";
import type { Ground } from "./ground.ts";
import { patience } from "./patience.ts";
import { expectRefusal } from "./refusals.ts";

const hour = 3_600;
const year = 365 * 24 * hour;
/** libfaketime reads the file once a second. */
const noticedMs = 1_100;

/** Kinds C1 to C5. */
export const clockFaults: readonly FaultKind[] = [
  {
    id: "C1",
    what: "the clock jumps back 1 s to 56 years, and forward again",
    weight: 2,
    instrument: "clock",
    async inject(ground, random) {
      const back = random.pick([1, 2, 60, hour, 24 * hour, Math.floor(Date.now() / 1_000)]);
      return await excursion(ground, -back, random.whole(1_200, 3_000));
    },
  },
  {
    id: "C2",
    what: "the clock jumps forward an hour, a year, to 2038 or 9999, and back again",
    weight: 1,
    async inject(ground, random) {
      const now = Math.floor(Date.now() / 1_000);
      const ahead = random.pick([5, hour, year, 2 ** 31 - now, 253_402_300_000 - now]);
      return await excursion(ground, ahead, random.whole(1_500, 4_000));
    },
  },
  {
    id: "C3",
    what: "the clock runs 1 % or 10 % fast or slow, and is set right",
    weight: 0.4,
    async inject(ground, random) {
      ground.setClock(0, random.pick([0.9, 0.99, 1.01, 1.1]));
      await sleep(random.whole(3_000, 8_000));
      ground.setClock(0);
      await sleep(noticedMs);
      return 1;
    },
  },
  {
    id: "C4",
    what: "the processes are started in a time zone far away, or one that is none",
    weight: 0.2,
    async inject(ground, random) {
      const zone = random.pick(["Pacific/Kiritimati", "Antarctica/Troll", ":junk", "XXX-99:99"]);
      await ground.restart({ TZ: zone });
      if (!(await ground.answered(3, patience(30_000))))
        throw new Error(`L9: no answers under TZ=${zone}`);
      await ground.clients(0);
      await ground.restart({});
      return 1;
    },
  },
  {
    id: "C5",
    what: "a start with the clock before the last entry's time",
    weight: 0.3,
    async inject(ground, random) {
      await ground.clients(0);
      await ground.stop();
      ground.setClock(-random.pick([60, hour, 24 * hour, year]));
      await expectRefusal(ground, /the clock stands before/);
      ground.setClock(0);
      await ground.start();
      return 1;
    },
  },
];

async function excursion(ground: Ground, seconds: number, ms: number): Promise<number> {
  const before = ground.pid("services");
  ground.setClock(seconds);
  await sleep(ms);
  ground.setClock(0);
  await sleep(noticedMs);
  // Services that another fault has made start meanwhile took the wrong clock for the right one. They promise nothing now, and say that
  // they wait to be started again, which is the operator's to do (L8: what is ambiguous stays down).
  if (ground.pid("services") !== before) ground.signal("services", "SIGTERM");
  return 2;
}
