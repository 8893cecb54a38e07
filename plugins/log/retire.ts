/**
 * The last step of a log's life: one row says that its key is not needed any more, and holds what readers must know of it. From then on
 * the log starts without the vault. A log that is killed before the row is as it was.
 */
import { Failure } from "../../events/failure.ts";
import { encodeRetirement, frozenKey, retiredKey, tables } from "./rows.ts";
import type { LogState, LogSurroundings } from "./state.ts";

/** Retires a frozen log; resolves when that is durable, with when it was. @throws {Failure} operation-refused unless it is frozen */
export async function retire(
  state: LogState,
  { store, clock, journal }: LogSurroundings,
): Promise<bigint> {
  const { life, key, name } = state;
  if (life.phase !== "frozen") {
    throw new Failure("operation-refused", `log "${name}" takes entries`);
  }
  if (life.retiredAtMs !== null) return life.retiredAtMs;
  const frozen = await store.get(tables.state, frozenKey);
  const atMs = BigInt(clock.now().getTime());
  const { origin, noteName, publicKey } = key;
  const value = encodeRetirement({ atMs, origin, noteName, publicKey: publicKey.spki });
  await store.commit({
    writes: [{ table: tables.state, key: retiredKey, value }],
    expect: [
      { table: tables.state, key: frozenKey, value: frozen },
      { table: tables.state, key: retiredKey, value: null },
    ],
  });
  state.life = { ...life, retiredAtMs: atMs };
  journal.info("log.retired", { log: name, size: state.durable.size });
  return atMs;
}
