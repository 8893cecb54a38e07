/** The timestamp authority's part of the CLI: an operator's word that the clock is right. */
import { join } from "node:path";
import { confirmationPath } from "../../core/clock.ts";
import { durableWrite } from "../../core/durable.ts";

/** Tells all rooms of the home that the clock is right as it is now. Each looks at most once: a word left before a step is void. */
export async function confirmClock(home: string): Promise<void> {
  await durableWrite(join(home, confirmationPath), "confirmed\n", 0o600);
}
