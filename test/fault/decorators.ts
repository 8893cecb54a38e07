/**
 * Failpoints around storage, vault and bus, for installations in one process. The product has none: what is between two parts is
 * wrapped. Each effect has a point before and one after it, so that "failed, and did not happen" and "failed, and happened all the
 * same" are both there.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Bus } from "../../core/bus.ts";
import type { Partition, StorageDriver } from "../../core/storage.ts";
import type { Ask } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";

/** What happens at a point. `pause` waits until the points are cleared. */
export type PointAction =
  { readonly kind: "error" | "pause" } | { readonly kind: "delay"; readonly ms: number };

/** The points of one installation: which were reached, and what is to happen there. */
export class Points {
  readonly #actions = new Map<string, { action: PointAction; from: number; reached: number }>();
  /** Every point that was ever reached. */
  readonly reached = new Set<string>();
  /** How often an action was taken. */
  hits = 0;

  /** From the `from`th time on that `point` is reached, `action` happens. */
  set(point: string, action: PointAction, from = 1): void {
    this.#actions.set(point, { action, from, reached: 0 });
  }

  clear(): void {
    this.#actions.clear();
  }

  /** Called by what is wrapped. @throws {Failure} if an error is to happen */
  async reach(point: string): Promise<void> {
    this.reached.add(point);
    const set = this.#actions.get(point);
    if (set === undefined || ++set.reached < set.from) return;
    this.hits++;
    switch (set.action.kind) {
      case "error":
        throw new Failure("log-unavailable", `a fault at ${point}`);
      case "delay":
        await sleep(set.action.ms);
        return;
      case "pause":
        while (this.#actions.get(point) === set) await sleep(5);
        return;
    }
  }
}

/** `storage.<partition>.commit.before|after`. An error leaves the outcome unknown, as the contract says. */
export function pointedStorage(driver: StorageDriver, points: Points): StorageDriver {
  return {
    create: async (...given) => await driver.create(...given),
    openReader: async (name) => await driver.openReader(name),
    async open(name, shape) {
      return pointedPartition(await driver.open(name, shape), `storage.${name}.commit`, points);
    },
    async [Symbol.asyncDispose]() {
      await driver[Symbol.asyncDispose]();
    },
  };
}

function pointedPartition(inner: Partition, point: string, points: Points): Partition {
  let inDoubt = false;
  const at = async (when: "before" | "after"): Promise<void> => {
    try {
      await points.reach(`${point}.${when}`);
    } catch (thrown) {
      inDoubt = true;
      throw new Error("whether the commit took place is unknown", { cause: thrown });
    }
  };
  return {
    get: async (...given) => await inner.get(...given),
    scan: async (...given) => await inner.scan(...given),
    read: async (...given) => await inner.read(...given),
    async commit(commit) {
      if (inDoubt) throw new Error("the partition refuses everything after a commit in doubt");
      await at("before");
      const committed = await inner.commit(commit);
      await at("after");
      return committed;
    },
    [Symbol.asyncDispose]: async () => await inner[Symbol.asyncDispose](),
  };
}

/** `bus.<room>.<ask>.before|after` around the asker; asks of the vault are told apart by purpose: `vault.sign.scts.before`. */
export function pointedBus(inner: Bus, points: Points): Bus {
  return {
    async ask(ask, question, stamp, read) {
      const point = pointOf(ask, question);
      await points.reach(`${point}.before`);
      const answer = await inner.ask(ask, question, stamp, read);
      await points.reach(`${point}.after`);
      return answer;
    },
    awaitAnswerer: async (...given) => await inner.awaitAnswerer(...given),
    answer: (ask, answerer) => inner.answer(ask, answerer),
    wake: (room) => inner.wake(room),
    onWake: (...given) => inner.onWake(...given),
    ready: async () => await inner.ready(),
    drain: async (withinMs) => await inner.drain(withinMs),
    [Symbol.asyncDispose]: async () => await inner[Symbol.asyncDispose](),
  };
}

function pointOf({ room, name }: Ask, question: unknown): string {
  if (room !== "hsm") return `bus.${room}.${name}`;
  // Every question of the vault's ask "sign" has passed its schema: it has a signable with a purpose.
  const { signable } = question as { readonly signable?: { readonly purpose: string } };
  return signable === undefined ? `vault.${name}` : `vault.${name}.${signable.purpose}`;
}
