/**
 * Sends mutated requests to every route of a house and holds each answer and its effects against the outcome rules. A failing
 * request is made as small as possible and comes with the seed that makes it again.
 */
import { fc } from "@fast-check/vitest";
import { expect } from "vitest";
import { http1, type Reply } from "../support/door-client.ts";
import { doorRows, type Row } from "../support/door-material.ts";
import { expectQuietError, Stored, usageOf } from "../support/outcome.ts";
import { callMutants, callOf, frame, openCalls } from "./calls.ts";
import type { House } from "./house.ts";
import { type Mutant, mutantsOf } from "./mutations.ts";

/** How long, and from where. */
export interface Campaign {
  readonly seed: number;
  /** Cases, spread over the routes: those with a body get five times as many. */
  readonly cases: number;
}

/** What was seen: answers by route and status. */
export type Tally = ReadonlyMap<string, ReadonlyMap<number, number>>;

/** The statuses that the documentation of the routes has for something a client did. */
const documented = new Set([200, 201, 303, 400, 401, 403, 404, 405, 409, 413, 415, 422]);

/** Runs a campaign. @throws with seed, path and the smallest request found if a rule is broken. */
export async function fuzz(house: House, { seed, cases }: Campaign): Promise<Tally> {
  const send = http1({ host: "127.0.0.1", port: house.port });
  const rows = await doorRows(send, house.home);
  using stored = new Stored(house.home);
  const tally = new Map<string, Map<number, number>>();
  const weightOf = ({ good }: Row): number => (good.method === "POST" ? 5 : 1);
  const unit = cases / rows.reduce((sum, row) => sum + weightOf(row), weightOfCalls);
  for (const row of rows) {
    const seen = new Map<number, number>();
    tally.set(row.route, seen);
    await settled(stored);
    let before = look(house, stored);
    const property = fc.asyncProperty(mutantsOf(row.good), async ({ wish, how }: Mutant) => {
      const startedAt = performance.now();
      const usage = usageOf([process.pid]);
      const reply = await send(wish);
      const used = usageOf([process.pid]);
      seen.set(reply.status, (seen.get(reply.status) ?? 0) + 1);
      expectDocumented(reply, `${row.route}: ${how}`);
      expect(performance.now() - startedAt - (used.waitedMs - usage.waitedMs)).toBeLessThan(1_000);
      expect(used.rssMiB - usage.rssMiB).toBeLessThan(64);
      expect(house.errors).toEqual([]);
      if (reply.status >= 400) {
        expect(look(house, stored), how).toEqual(before);
        return;
      }
      // Accepted after all, as when an unknown member is all that was changed: its effects end before the next request.
      if (wish.method === "POST") await settled(stored);
      before = look(house, stored);
    });
    const numRuns = Math.ceil(unit * weightOf(row));
    await fc.assert(property, { seed, numRuns, endOnFailure: false });
    expect((await send(row.good)).status).toBe(row.status);
  }
  const issuing = rows.find(({ route }) => route === "POST /api/v2/signingCert");
  const good = callOf(String(issuing?.good.body));
  using calls = openCalls(house.tlsPort);
  const ended = new Map<number, number>();
  tally.set("gRPC CreateSigningCertificate", ended);
  await settled(stored);
  let before = look(house, stored);
  const property = fc.asyncProperty(callMutants(good), async ({ body, how }) => {
    const { status, code, message } = await calls.send(body);
    ended.set(code, (ended.get(code) ?? 0) + 1);
    expect([status, codes.has(code)], `gRPC: ${how}: ${code} ${message}`).toEqual([200, true]);
    expect(message, how).not.toMatch(/[{}"/\\]/);
    expect(house.errors).toEqual([]);
    if (code !== 0) {
      expect(look(house, stored), how).toEqual(before);
      return;
    }
    await settled(stored);
    before = look(house, stored);
  });
  const numRuns = Math.ceil(unit * weightOfCalls);
  await fc.assert(property, { seed, numRuns, endOnFailure: false });
  expect((await calls.send(frame(good.message()))).code).toBe(0);
  return tally;
}

/** gRPC's codes for something a client did, and for nothing wrong. */
const codes: ReadonlySet<number> = new Set([0, 3, 8, 12, 13]);
/** As many as two routes with a body. */
const weightOfCalls = 10;

function expectDocumented(reply: Reply, about: string): void {
  expect(documented, `${about}: ${JSON.stringify(reply)}`).toContain(reply.status);
  if (reply.status >= 400 && reply.status !== 409) expectQuietError(reply);
}

function look({ signatures }: House, stored: Stored) {
  return { effects: stored.effects(), signatures: signatures() };
}

async function settled(stored: Stored): Promise<void> {
  for (let last = ""; last !== (last = stored.effects().content);) {
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}
