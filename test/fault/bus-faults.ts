/** Faults of the bus: N1 to N6 of reliability.md §4.4. */
import { readFileSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { FaultKind } from "./fault-kind.ts";

const strangers = 100;

/** Kinds N1 to N6. */
export const busFaults: readonly FaultKind[] = [
  {
    id: "N1",
    what: "every bus connection is reset",
    weight: 2,
    instrument: "bus",
    async inject(ground, random) {
      const count = random.whole(2, 6);
      for (let cut = 0; cut < count; cut++) {
        ground.proxy.cut();
        await sleep(random.whole(50, 800));
      }
      return count;
    },
  },
  {
    id: "N2",
    what: "the bus is slow, stalls, or is half open",
    weight: 3,
    instrument: "bus",
    async inject(ground, random) {
      ground.proxy.set(
        random.pick([
          { kind: "delay", ms: random.whole(20, 500) },
          { kind: "stall" },
          { kind: "halfOpen" },
        ]),
      );
      await sleep(random.whole(300, 2_500));
      ground.proxy.set({ kind: "pass" });
      return 1;
    },
  },
  {
    id: "N3",
    what: "one room is cut off, in one direction or both, once or once a second",
    weight: 2,
    instrument: "bus",
    async inject(ground, random) {
      const times = random.pick([1, 1, 4]);
      let count = 0;
      for (let time = 0; time < times; time++) {
        const room = random.next();
        const way = random.pick(["in", "out", "both"] as const);
        count += ground.proxy.part(room, way) ? 1 : 0;
        await sleep(times === 1 ? random.whole(500, 6_000) : 500);
        ground.proxy.mend();
        if (times > 1) await sleep(500);
      }
      return count;
    },
  },
  {
    id: "N4",
    what: "the bus loses, repeats or reorders a message",
    weight: 4,
    instrument: "bus",
    async inject(ground, random) {
      const before = ground.proxy.hits;
      const kind = random.pick(["lose", "repeat", "repeat", "reorder"] as const);
      ground.proxy.set({ kind, oneOf: kind === "lose" ? 40 : random.whole(3, 9) });
      await sleep(random.whole(800, 2_000));
      ground.proxy.set({ kind: "pass" });
      return ground.proxy.hits - before;
    },
  },
  {
    id: "N5",
    what: "nats-server dies and whatever it kept is gone (it may keep nothing)",
    weight: 1,
    instrument: "bus",
    async inject(ground) {
      const { home } = ground.place;
      const configuration = readFileSync(join(home, "nats", "nats.conf"), "utf8");
      if (/jetstream/i.test(configuration)) throw new Error("N5: the bus keeps something");
      if (!ground.signal("nats", "SIGKILL")) return 0;
      rmSync(join(home, "nats", "jetstream"), { recursive: true, force: true });
      return 1;
    },
  },
  {
    id: "N6",
    what: "nats-server restarts under a storm of a hundred strangers that reconnect at once",
    weight: 1,
    instrument: "bus",
    async inject(ground, random) {
      await using storm = startStorm(ground.realNatsPort);
      await sleep(200);
      const killed = ground.signal("nats", "SIGKILL");
      await sleep(random.whole(1_000, 3_000));
      return killed && storm.tries > 0 ? 1 : 0;
    },
  },
];

/** Strangers that connect, say that they are nobody, and come back as soon as they are thrown out. */
function startStorm(port: number): AsyncDisposable & { readonly tries: number } {
  const sockets = new Set<Socket>();
  let over = false;
  let tries = 0;
  const join = (): void => {
    if (over) return;
    tries++;
    const socket = connect(port, "127.0.0.1");
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.write('CONNECT {"verbose":false}\r\nPING\r\n');
    socket.on("close", () => {
      sockets.delete(socket);
      setTimeout(join, 20);
    });
  };
  for (let stranger = 0; stranger < strangers; stranger++) join();
  return {
    get tries() {
      return tries;
    },
    async [Symbol.asyncDispose]() {
      over = true;
      for (const socket of sockets) socket.destroy();
      await Promise.resolve();
    },
  };
}
