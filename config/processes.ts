/** Which processes an installation has: what the placement of its plugins comes to. */
import { startOrder } from "../core/graph.ts";
import { plugins } from "./plugins.ts";

/** A process to run. */
export interface PlannedProcess {
  readonly name: string;
  /** Its plugins, in the order in which they start. */
  readonly plugins: readonly string[];
  /** True for the one that opens the token, and is told the PIN. */
  readonly vault: boolean;
}

/**
 * The processes, those that others need first. Where needs run both ways between two processes, the one whose last plugin starts
 * earlier comes first; each waits for what it needs, so any order of starting comes to the same, and only draining gains by it.
 */
export function processesOf(placement: ReadonlyMap<string, string>): readonly PlannedProcess[] {
  const order = startOrder(plugins.map(({ manifest }) => manifest)).map(({ name }) => name);
  const tenants = new Map<string, string[]>();
  for (const plugin of order) {
    const process = placement.get(plugin);
    if (process === undefined) throw new TypeError(`"${plugin}" is placed nowhere`);
    tenants.set(process, [...(tenants.get(process) ?? []), plugin]);
  }
  const lastOf = (names: readonly string[]): number => order.indexOf(names.at(-1) ?? "");
  return [...tenants]
    .sort(([, left], [, right]) => lastOf(left) - lastOf(right))
    .map(([name, placed]) => ({ name, plugins: placed, vault: placed.includes("hsm") }));
}
