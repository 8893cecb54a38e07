import { afterAll, beforeAll, describe } from "vitest";
import { compositeBus } from "../../core/composite.ts";
import { memoryBus } from "../../core/memory.ts";
import { natsBus } from "../../core/nats.ts";
import { silentJournal } from "../support/boot.ts";
import { startNats, type TestNats } from "../support/nats-server.ts";
import { busContract, type Ends, left, right } from "./bus-contract.ts";

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats([left, right]);
});
afterAll(async () => await nats[Symbol.asyncDispose]());

const connect = async (...names: readonly string[]) =>
  await natsBus({
    servers: [nats.url],
    plugins: names.map((name) => ({ name, seed: nats.seeds.get(name) ?? new Uint8Array() })),
    pairKeys: nats.pairKeys,
    journal: () => silentJournal,
  });

describe("memory", () => {
  busContract(async (): Promise<Ends> => {
    const bus = memoryBus();
    return {
      left: bus,
      right: bus,
      [Symbol.asyncDispose]: async () => await bus[Symbol.asyncDispose](),
    };
  });
});

describe("memory, through the wire codec", () => {
  busContract(async (): Promise<Ends> => {
    const bus = memoryBus({ overWire: true });
    return {
      left: bus,
      right: bus,
      [Symbol.asyncDispose]: async () => await bus[Symbol.asyncDispose](),
    };
  });
});

describe("nats, two processes", () => {
  busContract(async (): Promise<Ends> => {
    const ends = { left: await connect("left"), right: await connect("right") };
    return { ...ends, [Symbol.asyncDispose]: async () => await close(ends) };
  });
});

describe("composite, both in one process", () => {
  busContract(async (): Promise<Ends> => {
    const bus = compositeBus(memoryBus(), await connect("left", "right"), () => true);
    return {
      left: bus,
      right: bus,
      [Symbol.asyncDispose]: async () => await bus[Symbol.asyncDispose](),
    };
  });
});

describe("composite, two processes", () => {
  busContract(async (): Promise<Ends> => {
    const ends = {
      left: compositeBus(memoryBus(), await connect("left"), (room) => room === "left"),
      right: compositeBus(memoryBus(), await connect("right"), (room) => room === "right"),
    };
    return { ...ends, [Symbol.asyncDispose]: async () => await close(ends) };
  });
});

async function close(ends: Pick<Ends, "left" | "right">): Promise<void> {
  await ends.left[Symbol.asyncDispose]();
  await ends.right[Symbol.asyncDispose]();
}
