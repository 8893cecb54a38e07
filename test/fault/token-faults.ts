/** Faults of the token: the module between the vault and SoftHSM lies, dawdles or crashes. */
import { setTimeout as sleep } from "node:timers/promises";
import type { FaultKind } from "./fault-kind.ts";
import type { Ground } from "./ground.ts";
import { patience } from "./patience.ts";
import { tokensChanged } from "./token-at-rest.ts";

const deviceErrors = [
  "0x05",
  "0x06",
  "0x30",
  "0x31",
  "0x32",
  "0x82",
  "0x90",
  "0xb3",
  "0xe0",
  "0x101",
];

/** Kinds K1 to K10. */
export const tokenFaults: readonly FaultKind[] = [
  {
    id: "K1",
    what: "the token answers with an error",
    weight: 5,
    instrument: "token",
    async inject(ground, random) {
      return await lies(ground, random.whole(500, 1_500), () => {
        const call = random.pick(["C_Sign", "C_Sign", "C_SignInit", "C_FindObjects"]);
        return `${call} rv=${random.pick(deviceErrors)} %${random.whole(5, 30)}`;
      });
    },
  },
  {
    id: "K2",
    what: "the token refuses the PIN: tried once, and not again until a person has acted",
    weight: 0.3,
    async inject(ground, random) {
      await ground.clients(0);
      const before = ground.lies();
      ground.lie(`C_Login rv=${random.pick(["0xa0", "0xa3", "0xa4"])} *`);
      ground.signal("vault", "SIGKILL");
      for (
        const giveUpAt = performance.now() + patience(30_000);
        !ground.hasEnded;
        await sleep(50)
      ) {
        if (performance.now() > giveUpAt) throw new Error("L8: it goes on without its PIN");
      }
      const tried = ground.lies() - before;
      if (tried !== 1) throw new Error(`K2: the PIN was tried ${tried} times`);
      if (!/refused the PIN/.test(ground.said)) throw new Error(`L8: it says ${ground.said}`);
      ground.lie();
      await ground.start();
      return 1;
    },
  },
  {
    id: "K3",
    what: "the token is slow",
    weight: 2,
    instrument: "token",
    inject: async (ground, random) =>
      await lies(
        ground,
        1_200,
        () => `C_Sign delay=${random.whole(20, 900)} %${random.whole(2, 9)}`,
      ),
  },
  {
    id: "K3h",
    what: "a call of the token never comes back",
    weight: 0.5,
    instrument: "token",
    inject: async (ground, random) =>
      await lies(ground, 1_500, () => `C_Sign hang %${random.whole(5, 20)}`),
  },
  {
    id: "K4",
    what: "the token gives a wrong signature (its key is quarantined until the vault restarts)",
    weight: 1,
    async inject(ground, random) {
      const rule = () => `C_Sign ${random.pick(["flip", "zero"])} %${random.whole(3, 12)}`;
      const count = await lies(ground, 500, rule);
      // That a person looks at it is the rule; here the person is a restart.
      ground.signal("vault", "SIGKILL");
      return count;
    },
  },
  {
    id: "K7",
    what: "no session is to be had",
    weight: 1,
    instrument: "token",
    async inject(ground, random) {
      const rule = `C_OpenSession rv=0xb1 ${random.whole(2, 9)}`;
      ground.lie(rule, "C_Sign rv=0xb3 %6");
      const before = ground.lies();
      await sleep(800);
      ground.lie();
      return ground.lies() - before;
    },
  },
  {
    id: "K8",
    what: "somebody else in the process finalises the token's library",
    weight: 1,
    instrument: "token",
    inject: async (ground, random) =>
      await lies(ground, 500, () => `C_Sign finalize %${random.whole(5, 20)}`),
  },
  {
    id: "K9",
    what: "the token's library crashes",
    weight: 2,
    instrument: "token",
    inject: async (ground, random) =>
      await lies(ground, 300, () => `C_Sign segv %${random.whole(5, 20)}`),
  },
  ...tokensChanged,
];

async function lies(ground: Ground, ms: number, rule: () => string): Promise<number> {
  const before = ground.lies();
  ground.lie(rule());
  await sleep(ms);
  ground.lie();
  return ground.lies() - before;
}
