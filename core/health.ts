/** How an installation is: every room's own word, and silence counted as failure. */
import { type Ask, reportHealth } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import type { Clock } from "./clock.ts";
import type { Health } from "./plugin.ts";

/** A health as `reportHealth` answers it. */
export function describeHealth(health: Health): unknown {
  if (health.status === "ok") return { status: "ok" };
  const { status, reason, since } = health;
  return { status, reason, sinceMs: BigInt(since.getTime()) };
}

/** Asks every room for its health; a room that does not answer has failed. */
export async function healthOf(
  rooms: readonly string[],
  ask: (ask: Ask, question: unknown) => Promise<unknown>,
  clock: Clock,
): Promise<{ readonly [room: string]: Health }> {
  const reports = rooms.map(async (room): Promise<[string, Health]> => {
    try {
      // The ask has held the answer against its schema.
      const answer = (await ask(reportHealth(room), {})) as Report;
      if (answer.status === "ok") return [room, { status: "ok" }];
      const { status, reason = "no reason given", sinceMs } = answer;
      const since = new Date(sinceMs === undefined ? clock.now() : Number(sinceMs));
      return [room, { status, reason, since }];
    } catch (thrown) {
      const reason = `does not answer: ${Failure.from(thrown).code}`;
      return [room, { status: "failed", reason, since: clock.now() }];
    }
  });
  return Object.fromEntries(await Promise.all(reports));
}

/** The first of several healths that is worst. */
export function worst(healths: readonly Health[]): Health {
  return (
    healths.find(({ status }) => status === "failed") ??
    healths.find(({ status }) => status === "degraded") ?? { status: "ok" }
  );
}

interface Report {
  readonly status: Health["status"];
  readonly reason?: string | undefined;
  readonly sinceMs?: bigint | undefined;
}
