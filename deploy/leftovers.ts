/** What a supervisor leaves behind that was killed: its processes drain by themselves, but hold the ports until they have. */
import { endLeftover, recordedNames } from "./processes.ts";

/** Ends all of them, nats-server last, because the others need it to drain. */
export async function endLeftovers(home: string): Promise<void> {
  const left = (await recordedNames(home)).filter(
    (name) => name !== "supervisor" && name !== "nats",
  );
  for (const name of [...left, "nats"]) await endLeftover(home, name);
}
