/**
 * `npm run fuzz [-- --minutes N --seed N --tokens N]`: mutated tokens, 100,000 unless said otherwise, then rounds of mutated requests
 * against an installation in this process.
 */
import { parseArgs } from "node:util";
import { fuzz } from "./campaign.ts";
import { openHouse } from "./house.ts";
import { fuzzTokens } from "./tokens.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    tokens: { type: "string", default: "100000" },
  },
});
/** Rounds, so that what one of them leaves behind shows as growth. */
const tokensInARound = 10_000;
let grownFrom = 0;
for (let done = 0; done < Number(values.tokens); done += tokensInARound) {
  const seed = Number(values.seed ?? Date.now() % 2 ** 31) + done;
  const cases = Math.min(tokensInARound, Number(values.tokens) - done);
  const { refused, believed } = await fuzzTokens(seed, cases);
  const rssMiB = Math.round(process.memoryUsage.rss() / 2 ** 20);
  if (done === tokensInARound) grownFrom = rssMiB;
  process.stdout.write(
    `tokens: seed ${seed}, refused ${refused}, believed ${believed}, ${rssMiB} MiB\n`,
  );
  if (grownFrom > 0 && rssMiB > grownFrom + 128) throw new Error("memory grows with every token");
}
const untilMs = performance.now() + Number(values.minutes) * 60_000;
const total = new Map<number, number>();

await using house = await openHouse();
for (let seed = Number(values.seed ?? Date.now() % 2 ** 31); ; seed++) {
  process.stdout.write(`seed ${seed}\n`);
  for (const statuses of (await fuzz(house, { seed, cases: 2_000 })).values()) {
    for (const [status, count] of statuses) total.set(status, (total.get(status) ?? 0) + count);
  }
  if (performance.now() > untilMs) break;
}
for (const [status, count] of [...total].toSorted(([a], [b]) => a - b))
  process.stdout.write(`${status} ${count}\n`);
process.stdout.write("no rule broken\n");
