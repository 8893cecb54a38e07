/**
 * The end of a log: it takes nothing more, what it has taken is promised, published and stored, and only then a row says that it is
 * frozen. A log that is killed before the row goes on as if nothing had been asked; after it, it is frozen for ever.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "../../events/failure.ts";
import { encodeIntent, frozenKey, intentKey, tables } from "./rows.ts";
import { isNothing, type LogState, type LogSurroundings } from "./state.ts";

const stepMs = 10;

/**
 * Freezes a log; resolves when that is durable, with the time after which nothing is integrated.
 *
 * @throws {Failure} if what it has taken does not get published in time, and then it goes on taking entries.
 */
export async function freeze(
  state: LogState,
  { store, clock, steady, journal }: LogSurroundings,
  untilMs: number,
): Promise<bigint> {
  if (state.life.phase === "frozen") return state.life.atMs;
  if (state.life.phase === "freezing") {
    throw new Failure("log-unavailable", `log "${state.name}" is being frozen by another ask`);
  }
  state.life = { phase: "freezing" };
  try {
    while (!isSettled(state)) {
      if (state.broken !== null) throw new Failure("log-unavailable", "the log must be restarted");
      if (clock.now().getTime() > untilMs) {
        throw new Failure("log-unavailable", "what the log has taken is not published in time");
      }
      await sleep(stepMs);
    }
    const now = steady.now();
    if (now === null) throw new Failure("log-unavailable", "the clock was set; it is in doubt");
    const nowMs = BigInt(now.getTime());
    const { size, root, integratedAtMs } = state.durable;
    const atMs = nowMs > integratedAtMs ? nowMs : integratedAtMs;
    await store.commit({
      writes: [
        {
          table: tables.state,
          key: frozenKey,
          value: encodeIntent({ size, root, integratedAtMs: atMs }),
        },
      ],
      expect: [
        { table: tables.state, key: intentKey, value: state.intentRow },
        { table: tables.state, key: frozenKey, value: null },
      ],
    });
    state.life = { phase: "frozen", atMs, retiredAtMs: null };
    journal.info("log.frozen", { log: state.name, size });
    return atMs;
  } catch (thrown) {
    state.life = { phase: "open" };
    throw thrown;
  }
}

/** True if everything that was taken is in the store, under a head that is there too. */
function isSettled({ pending, published, durable, unsaved, saving }: LogState): boolean {
  return (
    pending.unpublished === 0 &&
    published !== null &&
    published.size === durable.size &&
    isNothing(unsaved) &&
    isNothing(saving)
  );
}
