/** `npm run fuzz [-- --minutes N --seed N]`: rounds of mutated requests against an installation in this process. */
import { parseArgs } from "node:util";
import { fuzz } from "./campaign.ts";
import { openHouse } from "./house.ts";

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "1" }, seed: { type: "string" } },
});
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
