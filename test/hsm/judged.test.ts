import { expect, test } from "vitest";
import { uintBytes } from "../../core/formats/encoding.ts";
import { Judged } from "../../hsm/judged.ts";

const judged = {
  verdict: new Uint8Array(32),
  mac: new Uint8Array(32),
  verifiedAtMs: 1n,
  notBefore: new Date(0),
  binding: { serial: "01", verdict: "02", tokenDigest: "03", publicKeyHash: "04" },
};
const most = 2_048;

test("gives what it keeps once", () => {
  const all = new Judged();
  expect(all.isEmpty).toBe(true);
  all.keep(uintBytes(7, 32), judged);
  expect(all.isEmpty).toBe(false);
  expect(all.take(uintBytes(8, 32))).toBeNull();
  expect(all.take(uintBytes(7, 32))).toBe(judged);
  expect(all.take(uintBytes(7, 32))).toBeNull();
});

test.each([
  ["keeps as many as it has room for", most, judged],
  ["forgets the oldest when there is one more", most + 1, null],
] as const)("%s", (_, count, first) => {
  const all = new Judged();
  for (let at = 0; at < count; at++) all.keep(uintBytes(at, 32), judged);
  expect(all.take(uintBytes(0, 32))).toBe(first);
  expect(all.take(uintBytes(1, 32))).toBe(judged);
  expect(all.take(uintBytes(count - 1, 32))).toBe(judged);
});
