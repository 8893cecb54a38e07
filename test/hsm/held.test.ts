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
const nowMs = startedAt.getTime();
const anyKey = { label: "issuing-ca", publicKeySha256: randomBytes(32) } as unknown as VaultKey;

/** Held without a vault: what would be judged is told as the failure that judging throws, or `prepared`. */
function holding() {
  const told: string[] = [];
  let now = nowMs;
  const held = new Held({
    now: () => new Date(now),
    submit(asked: Asked) {
      try {
        asked.prepare(anyKey, nowMs);
        told.push("prepared");
      } catch (thrown) {
        told.push(Failure.from(thrown).code);
      }
    },
    authorise: () => undefined,
    givesScts: () => true,
    prepare: () => ({ messages: [], claim: { kind: "none" }, binding: { kind: "none" } }),
  });
  const core = (n: number) => uintBytes(n, 32);
  return {
    told,
    held,
    pass: (ms: number) => {
      now += ms;
      vi.advanceTimersByTime(ms);
    },
    keep: (n: number) =>
      held.keep(anyKey, {
        core: core(n),
        verdict: core(0),
        verifiedAtMs: 0n,
        notBefore: startedAt,
        binding: { serial: "", verdict: "", tokenDigest: "", publicKeyHash: "" },
        listing: (list) => list,
      }),
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
  const { told, keep, complete, pass } = holding();
  keep(1);
  complete(1);
  for (let ms = 0; ms < 400; ms += 100) pass(100);
  expect(told).toEqual([]);
  pass(100);
  expect(told).toEqual(["deadline-exceeded"]);
  complete(1);
  expect(told).toEqual(["deadline-exceeded", "guard-refused"]);
});

test("holds so many at once, and refuses one more while all are waited for", () => {
  const { told, keep, complete } = holding();
  for (let n = 0; n < most; n++) keep(n);
  for (let n = 0; n < most; n++) complete(n);
  keep(most);
  expect(told).toEqual([]);
  complete(most);
  expect(told).toEqual(["overloaded"]);
});

test("forgets the oldest for which nobody waits when there is one more", () => {
  const { told, keep, complete } = holding();
  for (let n = 0; n < most; n++) keep(n);
  complete(0);
  keep(most);
  complete(most);
  expect(told).toEqual([]);
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
