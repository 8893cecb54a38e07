/**
 * Sends mutated requests, many at once, to every route of a house and holds each answer and its effects against the outcome rules. What
 * breaks one is made as small as possible and comes with the seed that makes it again.
 */
import { fc } from "@fast-check/vitest";
import { expect } from "vitest";
import { http1, keptAlive } from "../support/door-client.ts";
import { doorRows } from "../support/door-material.ts";
import { Stored, usageOf } from "../support/outcome.ts";
import type { House } from "./house.ts";
import { callTarget, routeTarget, type Target } from "./targets.ts";

/** How long, and from where. */
export interface Campaign {
  readonly seed: number;
  /** Cases, spread over the routes: those with a body get five times as many. */
  readonly cases: number;
  /** Requests that are put at once. */
  readonly atOnce: number;
}

/** What was seen: answers by route and status. */
export type Tally = ReadonlyMap<string, ReadonlyMap<number, number>>;

/** What a volley may take of the processor, which is a fifth of a second for each that is large and little for the rest. */
const volleyCpuMs = 1_000;
const requestCpuMs = 25;
/** What a volley may leave in memory. */
const volleyMiB = 64;

/** Runs a campaign. @throws with seed, path and the smallest volley found if a rule is broken. */
export async function fuzz(house: House, { seed, cases, atOnce }: Campaign): Promise<Tally> {
  const { egress } = house.outside;
  return await egress.unwatched(async () => {
    const tally = await shoot(house, { seed, cases, atOnce });
    // Nothing that was sent made anybody go where the configuration does not lead.
    expect(egress.strays).toEqual([]);
    return tally;
  });
}

async function shoot(house: House, { seed, cases, atOnce }: Campaign): Promise<Tally> {
  const where = { host: "127.0.0.1", port: house.port };
  const rows = await doorRows(http1(where), house.home);
  using stored = new Stored(house.home);
  using send = keptAlive(where, Math.min(atOnce, 64));
  const issuing = rows.find(({ route }) => route === "POST /api/v2/signingCert");
  const calls = callTarget(house.tlsPort, String(issuing?.good.body));
  const routes = rows.map((row) => routeTarget(row, send));
  const unit = cases / [...routes, calls].reduce((sum, { weight }) => sum + weight, 0);
  const tally = new Map<string, ReadonlyMap<number, number>>();
  const run = async <Try>(target: Target<Try>): Promise<void> => {
    await settled(stored);
    const volley = { house, stored, seed, atOnce };
    tally.set(target.name, await attack(target, Math.ceil(unit * target.weight), volley));
    await target.expectGood();
  };
  for (const route of routes) await run(route);
  await run(calls);
  return tally;
}

interface Volleys {
  readonly house: House;
  readonly stored: Stored;
  readonly seed: number;
  readonly atOnce: number;
}

/** Puts at least `wanted` tries to one target. */
async function attack<Try>(
  target: Target<Try>,
  wanted: number,
  { house, stored, seed, atOnce }: Volleys,
): Promise<ReadonlyMap<number, number>> {
  const seen = new Map<number, number>();
  const look = () => ({ effects: stored.effects(), signatures: house.signatures() });
  const put = async (tries: readonly Try[]) => {
    const [before, known] = [usageOf([process.pid]), house.errors.length];
    const verdicts = await target.put(tries);
    const after = usageOf([process.pid]);
    expect(after.cpuMs - before.cpuMs).toBeLessThan(volleyCpuMs + requestCpuMs * tries.length);
    expect(after.rssMiB - before.rssMiB).toBeLessThan(volleyMiB);
    expect(house.errors.slice(known)).toEqual([]);
    return verdicts;
  };
  // Without bias, which would make half of the volleys small.
  const volleys = fc.noBias(
    fc.array(target.tries, { minLength: 1, maxLength: atOnce, size: "max" }),
  );
  const property = fc.asyncProperty(volleys, async (tries) => {
    const before = look();
    const verdicts = await put(tries);
    for (const { code } of verdicts) seen.set(code, (seen.get(code) ?? 0) + 1);
    const refused = tries.filter((_, at) => verdicts[at]?.accepted !== true);
    if (target.reads || refused.length === tries.length) {
      expect(look()).toEqual(before);
      return;
    }
    // Some were good after all, as when an unknown member is all that was changed. Their effects end, and those that were refused
    // are put once more, by themselves.
    await settled(stored);
    const between = look();
    const again = await put(refused);
    expect(again.filter(({ accepted }) => accepted)).toEqual([]);
    expect(look()).toEqual(between);
  });
  for (let round = 0; sum(seen) < wanted; round++) {
    const numRuns = Math.ceil((2 * (wanted - sum(seen))) / atOnce);
    await fc.assert(property, { seed: seed + round, numRuns, endOnFailure: false });
  }
  return seen;
}

function sum(counts: ReadonlyMap<number, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}

async function settled(stored: Stored): Promise<void> {
  for (let last = ""; last !== (last = stored.effects().content);) {
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}
