/** Starts that must not succeed: what is ambiguous stays down and says why (L8). */
import { setTimeout as sleep } from "node:timers/promises";
import type { Ground } from "./ground.ts";
import { readJournal } from "./journals.ts";
import { patience } from "./patience.ts";

const saidWithinMs = 30_000;
const journals = ["services", "vault"] as const;

/** Starts the instance, which must stay down and say why, and ends it. @throws unless it does */
export async function expectRefusal(ground: Ground, why: RegExp): Promise<void> {
  const before = journals.map((name) => readJournal(ground.place.home, name).length);
  let started = false;
  const starting = ground.start().then(
    () => (started = true),
    () => undefined,
  );
  const giveUpAt = performance.now() + patience(saidWithinMs);
  const hasSaid = (): boolean =>
    why.test(ground.said) ||
    journals.some((name, at) => why.test(readJournal(ground.place.home, name).slice(before[at])));
  while (!started && !hasSaid() && performance.now() < giveUpAt) await sleep(50);
  const refused = hasSaid();
  // It stays down: nobody has become ready meanwhile.
  await ground.killAll();
  await starting;
  if (started || !refused) {
    throw new Error(
      `L8: it must not start and say ${String(why)}; started: ${started}; said: ${ground.said}`,
    );
  }
}
