/** Whether a log takes entries, as its store says. */
import { equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { StartRefused, type Store } from "../../core/plugin.ts";
import { Failure } from "../../events/failure.ts";
import {
  decodeIntent,
  decodeRetirement,
  frozenKey,
  type Intent,
  type Retirement,
  retiredKey,
  tables,
} from "./rows.ts";
import type { LogState, LogSurroundings } from "./state.ts";

/** How far the clock may stand back and be waited for; beyond it the log refuses. */
export const patienceMs = 2_000n;

/** Whether a log takes entries. */
export type Life =
  | { readonly phase: "open" }
  /** Asked to freeze; nothing is durable of it. */
  | { readonly phase: "freezing" }
  | {
      readonly phase: "frozen";
      readonly atMs: bigint;
      /** Since when nothing is asked of its key; null before it is retired. */
      readonly retiredAtMs: bigint | null;
    };

/** What the store says of a log whose durable tree is `durable`. @throws {Malformed} if it was frozen with another tree */
export async function readLife(store: Pick<Store, "get">, durable: Intent): Promise<Life> {
  const row = await store.get(tables.state, frozenKey);
  if (row === null) return { phase: "open" };
  const { size, root, integratedAtMs: atMs } = decodeIntent(row);
  if (size !== durable.size || !equalBytes(root, durable.root)) {
    throw new Malformed(`it was frozen with ${size} entries and holds ${durable.size}`);
  }
  const retirement = await readRetirement(store);
  return { phase: "frozen", atMs, retiredAtMs: retirement?.atMs ?? null };
}

/** True once nothing is asked of its key. */
export function isRetired({ life }: Pick<LogState, "life">): boolean {
  return life.phase === "frozen" && life.retiredAtMs !== null;
}

/** What a retired log knows of its key; null of any other. @throws {Malformed} */
export async function readRetirement(store: Pick<Store, "get">): Promise<Retirement | null> {
  const row = await store.get(tables.state, retiredKey);
  return row === null ? null : decodeRetirement(row);
}

/** @throws {Failure} log-frozen or log-unavailable unless the log takes entries */
export function requireOpen({ life, name }: Pick<LogState, "life" | "name">): void {
  switch (life.phase) {
    case "open":
      return;
    case "freezing":
      throw new Failure("log-unavailable", `log "${name}" is being frozen`);
    case "frozen":
      throw new Failure("log-frozen", `log "${name}" is frozen and takes nothing more`);
  }
}

/** A tree head or an entry of now would be older than what is promised. @throws {Failure} log-unavailable */
export function requireTime({ durable, life }: LogState, { clock, config }: LogSurroundings): void {
  const behindMs = durable.integratedAtMs - BigInt(clock.now().getTime());
  if (life.phase === "frozen" || behindMs <= patienceMs) return;
  throw new Failure(
    "log-unavailable",
    `the clock stands before the newest entry of log "${config.name}", by ${behindMs} ms: set it right`,
  );
}

/** What is wrong with a store is for the operator; that the vault is not there passes. */
export function finalFailure(thrown: unknown, name: string): unknown {
  if (!(thrown instanceof Failure) || thrown.code !== "log-unavailable") return thrown;
  const { message } = thrown;
  const prefix = `log "${name}": `;
  const sentence = message.startsWith(prefix) ? message : prefix + message;
  return new StartRefused(sentence, { cause: thrown });
}
