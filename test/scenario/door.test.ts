/**
 * Every route of the door against every class of bad HTTP input, on an instance that can send no packet and whose token counts its
 * signatures. After each case the outcome rules are checked: alive, no log growth, no signature, no packet, bounded, quiet.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { demoRoutes } from "../support/demo-routes.ts";
import { expectDescribed } from "../support/described.ts";
import type { Case, Speak } from "../support/door-case.ts";
import { casesFor } from "../support/door-cases.ts";
import { http1, http2, type Reply, sendBytes, type Transport } from "../support/door-client.ts";
import { doorRows, freshEntry, type Row } from "../support/door-material.ts";
import {
  type Allowance,
  type Effects,
  expectQuietError,
  Stored,
  usageOf,
} from "../support/outcome.ts";
import { misspelled } from "../support/spellings.ts";
import { type SealedInstance, startSealed } from "../support/sealed-instance.ts";

/** The door's own list: a route that is added there and not to the rows fails the first test. */
const routes = demoRoutes().map(({ method, path }) => `${method} ${path}`);

let instance: SealedInstance;
let stored: Stored;
let rows: ReadonlyMap<string, Row>;
let plain: Transport;
let second: Transport & Disposable;
let pids: readonly number[];
let cases = 0;

beforeAll(async () => {
  instance = await startSealed();
  plain = http1(instance.plain);
  second = http2(instance.tls);
  const made = await doorRows(plain, instance.home);
  rows = new Map(made.map((row) => [row.route, row]));
  stored = new Stored(instance.home);
  await settled();
  pids = [instance.pid("services"), instance.pid("vault")];
});

afterAll(async () => {
  second?.[Symbol.dispose]();
  stored?.[Symbol.dispose]();
  await instance?.[Symbol.asyncDispose]();
});

interface Before {
  readonly effects: Effects;
  readonly signatures: number;
  readonly packets: number;
}

function look(): Before {
  return {
    effects: stored.effects(),
    signatures: instance.signatures(),
    packets: instance.packets(),
  };
}

/** What a case has used; the answer's time without that in which something else ran. */
interface Cost {
  readonly rssMiB: number;
  readonly cpuMs: number;
  readonly answerMs: number;
}

async function costing(run: () => Promise<readonly Reply[]>) {
  const [usage, own] = [usageOf(pids), usageOf([process.pid])];
  const startedAt = performance.now();
  const replies = await run();
  const tookMs = performance.now() - startedAt;
  const [used, ownUsed] = [usageOf(pids), usageOf([process.pid])];
  const waitedMs = used.waitedMs - usage.waitedMs + (ownUsed.waitedMs - own.waitedMs);
  return {
    replies,
    rssMiB: used.rssMiB - usage.rssMiB,
    cpuMs: used.cpuMs - usage.cpuMs,
    answerMs: tookMs - waitedMs,
  };
}

function isMore(cost: Cost, most: Cost): boolean {
  return cost.rssMiB >= most.rssMiB || cost.cpuMs >= most.cpuMs || cost.answerMs >= most.answerMs;
}

/** Runs a case and holds what it did against the rules. */
async function holds(
  { row, speak }: { readonly row: Row; readonly speak: Speak },
  { name, statuses, allowance = {}, run }: Case,
): Promise<void> {
  const before = look();
  const most = { rssMiB: 64, cpuMs: allowance.cpuMs ?? 200, answerMs: allowance.answerMs ?? 1_000 };
  let cost: Cost;
  // What a request costs it costs each time; the collector's and the compiler's work falls on some by chance.
  let tries = allowance.mayLog === true ? 1 : 4;
  do {
    const { replies, ...measured } = await costing(async () => await run(speak));
    cost = measured;
    for (const reply of replies) {
      expect(statuses, `${row.route}: ${name}: ${JSON.stringify(reply)}`).toContain(reply.status);
      if (reply.status >= 400 && reply.status !== row.status) expectQuietError(reply);
    }
  } while (--tries > 0 && isMore(cost, most));
  cases++;
  expect(cost.rssMiB, name).toBeLessThan(most.rssMiB);
  expect(cost.cpuMs, name).toBeLessThan(most.cpuMs);
  expect(cost.answerMs, name).toBeLessThan(most.answerMs);
  await expectAlive(row);
  if (allowance.mayLog !== true) {
    expect(look(), name).toEqual(before);
    return;
  }
  expect(look().packets).toBe(before.packets);
  await settled();
}

/** The same processes, and a good request works: of this route, unless that would sign. */
async function expectAlive(row: Row): Promise<void> {
  expect([instance.pid("services"), instance.pid("vault")]).toEqual(pids);
  const next = row.signs === true ? { method: "GET", path: "/readyz" } : row.good;
  expect((await plain(next)).status).toBe(row.signs === true ? 200 : row.status);
}

/** What was accepted is booked and published a little later, and the vault writes outcomes when it has time. */
async function settled(): Promise<void> {
  const unfinished = (): number => stored.effects().rows["vault/vault.db unfinished"] ?? 0;
  const untilMs = performance.now() + 60_000;
  for (let last = ""; last !== (last = stored.effects().content) || unfinished() > 0;) {
    if (performance.now() > untilMs) throw new Error("the instance does not come to rest");
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

function rowOf(route: string): Row {
  const row = rows.get(route);
  if (row === undefined) throw new Error(`there is no row for ${route}`);
  return row;
}

test("every route of the door has a row, and every row a route", () => {
  expect([...rows.keys()].toSorted()).toEqual(routes.toSorted());
});

test("the instance has a loopback interface, and nothing else to send by", () => {
  expect(instance.network()).toEqual(["lo"]);
});

test.for(routes)("%s answers a good request in each protocol", async (route) => {
  const row = rowOf(route);
  for (const send of [plain, second]) {
    const reply = await send(row.good);
    expect(reply.status).toBe(row.status);
    expectDescribed(row, reply);
  }
  if (row.signs === true) await settled();
});

describe.each([
  [
    "HTTP/1.1",
    (): Speak => ({ wish: plain, bytes: async (b) => await sendBytes(instance.plain, b) }),
  ],
  [
    "HTTP/1.1 in TLS",
    (): Speak => ({
      wish: async () => await Promise.reject(new Error("only bytes")),
      bytes: async (b) => await sendBytes(instance.tls, b, { secure: true }),
    }),
  ],
  ["HTTP/2", (): Speak => ({ wish: second })],
])("over %s", (protocol, speak) => {
  test.for(routes)("%s bears what no client should send", async (route) => {
    const row = rowOf(route);
    const onlyBytes = protocol === "HTTP/1.1 in TLS";
    const raw = new Set(["HB5", "HB7", "HB9", "HB11", "HB33", "HB35"]);
    const broken: string[] = [];
    for (const one of casesFor(row)) {
      if (onlyBytes && !raw.has(one.id)) continue;
      if (protocol === "HTTP/2" && raw.has(one.id)) continue;
      await holds({ row, speak: speak() }, one).catch((thrown: unknown) =>
        broken.push(`${one.id} ${one.name}: ${String(thrown).slice(0, 2_000)}`),
      );
    }
    expect(broken).toEqual([]);
  });
});

test.for(routes)("%s takes one spelling of every value that carries bytes", async (route) => {
  const row = rowOf(route);
  const broken: string[] = [];
  for (const { name, wish } of misspelled(row)) {
    const run = async (speak: Speak): Promise<readonly Reply[]> => [await speak.wish(wish)];
    await holds(
      { row, speak: { wish: plain } },
      { id: "H7", name, statuses: [400, 422], run },
    ).catch((thrown: unknown) => broken.push(`${name}: ${String(thrown).slice(0, 500)}`));
  }
  expect(broken).toEqual([]);
});

test.for(routes)("%s gives a hundred equal answers to a hundred equal requests", async (route) => {
  const row = rowOf(route);
  const statuses = [row.status];
  const allowance: Allowance = {
    mayLog: row.signs === true,
    cpuMs: 8_000,
    answerMs: 15_000,
  };
  await holds(
    { row, speak: { wish: plain } },
    {
      id: "HB37",
      name: "a hundred",
      statuses,
      allowance,
      run: async ({ wish }) => {
        const replies = await Promise.all(
          Array.from({ length: 100 }, async () => await wish(row.good)),
        );
        // A health report and what signs each time differ; everything else is one answer.
        const isOne = row.signs !== true && row.moves !== true;
        if (isOne) expect(new Set(replies.map(({ body }) => body)).size).toBe(1);
        return replies;
      },
    },
  );
});

test("a new entry that a hundred clients send at once is logged once, and all are told the same id", async () => {
  const entry = freshEntry();
  const sizeOf = async (): Promise<number> =>
    (JSON.parse((await plain({ method: "GET", path: "/api/v1/log" })).body) as { treeSize: number })
      .treeSize;
  const before = await sizeOf();
  const replies = await Promise.all(Array.from({ length: 100 }, async () => await plain(entry)));
  const locations = new Set(replies.map(({ headers }) => headers["location"]));
  expect(locations.size).toBe(1);
  expect(replies.every(({ status }) => status === 201 || status === 409)).toBe(true);
  expect(await sizeOf()).toBe(before + 1);
  await settled();
});

test("who sends a header byte by byte, or promises a body and sends none, is answered 408 and left", async () => {
  const before = look();
  const slow = async (row: Row): Promise<readonly Reply[]> =>
    await sendBytes(instance.plain, `${row.good.method} ${row.good.path} HTTP/1.1\r\nHos`, {
      withinMs: 120_000,
    });
  const silent = async ({ good }: Row): Promise<readonly Reply[]> =>
    await sendBytes(
      instance.plain,
      `POST ${good.path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${good.headers?.["content-type"]}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`,
      { withinMs: 120_000 },
    );
  const all = [...rows.values()];
  const replies = await Promise.all([
    ...all.map(slow),
    ...all.filter(({ body }) => body !== undefined).map(silent),
  ]);
  for (const [reply] of replies) {
    expect(reply?.status).toBe(408);
    if (reply) expectQuietError(reply);
  }
  expect(look()).toEqual(before);
});

test("the table was not short", () => {
  expect(cases).toBeGreaterThan(1_500);
});
