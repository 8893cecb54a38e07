/** What waits in the vault for SCTs: how much, how long, and what it is told. */
import { randomBytes } from "node:crypto";
import { afterEach, expect, test, vi } from "vitest";
import { uintBytes } from "../../core/formats/encoding.ts";
import { Failure } from "../../events/failure.ts";
import type { Asked } from "../../hsm/asked.ts";
import { Held } from "../../hsm/held.ts";
import type { VaultKey } from "../../hsm/keyring.ts";
import { startedAt } from "./leaf.ts";

const most = 4_096;
const keptMs = 60_000;
const nowMs = startedAt.getTime();
const anyKey = { label: "issuing-ca", publicKeySha256: randomBytes(32) } as unknown as VaultKey;

/** Held without a vault: what would be judged is told as the failure that judging throws, or `prepared`. */
function holding() {
  const told: string[] = [];
  const givenUp: (readonly [announced: number, reason: string])[] = [];
  let now = nowMs;
  const held = new Held({
    now: () => new Date(now),
    submit(asked: Asked) {
      expect(() => asked.prepare(anyKey, nowMs)).toThrow();
      try {
        asked.prepare(anyKey, nowMs);
      } catch (thrown) {
        told.push(Failure.from(thrown).code);
      }
    },
    finish: (_, announced) => told.push(`finished ${announced}`),
    giveUp: (announced, reason) => givenUp.push([announced, reason]),
    keptMs,
    authorise: () => undefined,
    givesScts: () => true,
    prepare: () => ({ messages: [], claim: { kind: "none" }, binding: { kind: "none" } }),
  });
  const core = (n: number) => uintBytes(n, 32);
  return {
    told,
    givenUp,
    held,
    pass: (ms: number) => {
      now += ms;
      vi.advanceTimersByTime(ms);
    },
    keep: (n: number) => {
      const precertificate = {
        core: core(n),
        verdict: core(0),
        verifiedAtMs: 0n,
        notBefore: startedAt,
        binding: { serial: "", verdict: "", tokenDigest: "", publicKeyHash: "" },
        listing: (list: Uint8Array) => list,
      };
      held.keep(anyKey, precertificate, n);
    },
    complete: (n: number) => {
      const question = {
        key: "issuing-ca",
        precertificate: core(n),
        verdict: core(0),
        logs: ["l"],
      };
      const envelope = { id: "", trace: "", from: "issuer", deadlineAtMs: nowMs + 500 };
      void held.complete(question, envelope);
    },
  };
}

afterEach(() => {
  vi.useRealTimers();
});

test("is refused when the asker stops waiting", () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { told, givenUp, keep, complete, pass } = holding();
  keep(1);
  complete(1);
  for (let ms = 0; ms < 400; ms += 100) pass(100);
  expect(told).toEqual([]);
  pass(100);
  expect(told).toEqual(["deadline-exceeded"]);
  expect(givenUp).toEqual([[1, "no SCT was asked for in time"]]);
  complete(1);
  expect(told).toEqual(["deadline-exceeded", "guard-refused"]);
});

test("holds so many at once, and refuses one more while all are waited for", () => {
  const { told, givenUp, keep, complete } = holding();
  for (let n = 0; n < most; n++) keep(n);
  for (let n = 0; n < most; n++) complete(n);
  keep(most);
  expect(told).toEqual([]);
  expect(givenUp).toEqual([[most, "too many precertificates came after its own"]]);
  complete(most);
  expect(told).toEqual(["overloaded"]);
});

test("forgets the oldest for which nobody waits when there is one more", () => {
  const { told, givenUp, keep, complete } = holding();
  for (let n = 0; n < most; n++) keep(n);
  complete(0);
  keep(most);
  complete(most);
  expect(told).toEqual([]);
  expect(givenUp).toEqual([[1, "too many precertificates came after its own"]]);
  complete(1);
  expect(told).toEqual(["overloaded"]);
});

test("refuses what waits for keys that sign no more, and lets the others wait", () => {
  const { told, held, keep, complete } = holding();
  keep(1);
  keep(2);
  complete(1);
  held.review((label) => label !== "other");
  expect(told).toEqual([]);
  held.review((label) => label !== "l");
  expect(told).toEqual(["key-unavailable"]);
  complete(2);
  held.review((label) => label !== "issuing-ca");
  expect(told).toEqual(["key-unavailable", "key-unavailable"]);
});

test("forgets what nobody asks for while it could be given, and not what is waited for", () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { told, givenUp, keep, pass } = holding();
  keep(1);
  pass(keptMs - 10_000);
  keep(2);
  expect(givenUp).toEqual([]);
  pass(10_000);
  expect(givenUp).toEqual([[1, "nobody asked for it in time"]]);
  pass(keptMs);
  expect(givenUp.map(([announced]) => announced)).toEqual([1, 2]);
  expect(told).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});

test("gives up everything at its end, also what comes after it", () => {
  const { told, held, givenUp, keep, complete } = holding();
  keep(1);
  keep(2);
  complete(2);
  held.close();
  keep(3);
  expect(told).toEqual(["key-unavailable"]);
  expect(givenUp).toEqual([1, 2, 3].map((n) => [n, "the vault ends"]));
});
