/**
 * `npm run fuzz [-- --cases N --minutes N --seed N --tokens N]`: mutated tokens, then rounds of mutated requests, REST and gRPC, against
 * an installation in this process: a hundred thousand of each unless said, of requests as many as the minutes give time for.
 */
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { fuzz } from "./campaign.ts";
import { openHouse } from "./house.ts";
import { fuzzTokens } from "./tokens.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void; // what the flag adds

/** What this process holds on to, and what it has of the machine, which includes what it may use again. */
function memory() {
  collectGarbage();
  const { heapUsed, external, rss } = process.memoryUsage();
  return {
    keptMiB: Math.round((heapUsed + external) / 2 ** 20),
    rssMiB: Math.round(rss / 2 ** 20),
  };
}

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "100000" },
    minutes: { type: "string" },
    seed: { type: "string" },
    tokens: { type: "string", default: "100000" },
  },
});
/** Rounds, so that what one of them leaves behind shows as growth. */
const tokensInARound = 10_000;
const requestsInARound = 10_000;
let grownFrom = 0;
for (let tried = 0; tried < Number(values.tokens); tried += tokensInARound) {
  const seed = Number(values.seed ?? Date.now() % 2 ** 31) + tried;
  const cases = Math.min(tokensInARound, Number(values.tokens) - tried);
  const { refused, believed } = await fuzzTokens(seed, cases);
  const { keptMiB } = memory();
  if (tried === 0) grownFrom = keptMiB;
  process.stdout.write(
    `tokens: seed ${seed}, refused ${refused}, believed ${believed}, ${keptMiB} MiB kept\n`,
  );
  if (keptMiB > grownFrom + 32) throw new Error("memory grows with every token");
}
const untilMs =
  values.minutes === undefined ? Infinity : performance.now() + Number(values.minutes) * 60_000;
const wanted = Number(values.cases);
let done = 0;
let bounds: ReturnType<typeof memory> | null = null;
const total = new Map<number, number>();

await using house = await openHouse();
for (let seed = Number(values.seed ?? Date.now() % 2 ** 31); done < wanted; seed++) {
  const cases = Math.min(requestsInARound, wanted - done);
  for (const statuses of (await fuzz(house, { seed, cases, atOnce: 256 })).values()) {
    for (const [status, count] of statuses) {
      total.set(status, (total.get(status) ?? 0) + count);
      done += count;
    }
  }
  const { keptMiB, rssMiB } = memory();
  process.stdout.write(
    `requests: seed ${seed}, ${done} of ${wanted}, ${house.signatures()} signatures, ${keptMiB} MiB kept, ${rssMiB} MiB resident\n`,
  );
  bounds ??= { keptMiB: keptMiB + 64, rssMiB: rssMiB + 384 };
  if (keptMiB > bounds.keptMiB || rssMiB > bounds.rssMiB)
    throw new Error("memory grows with every request");
  if (performance.now() > untilMs) break;
}
for (const [status, count] of [...total].toSorted(([a], [b]) => a - b))
  process.stdout.write(`${status} ${count}\n`);
process.stdout.write("no rule broken\n");
