/** What the processes of an instance use, from /proc. */
import { readFile } from "node:fs/promises";
import type { Instance } from "../support/instance.ts";

/** Resident memory in MiB and CPU time in ms, since the process started. */
export interface Usage {
  readonly rssMiB: number;
  readonly cpuMs: number;
}

const names = ["services", "vault", "nats"] as const;
/** USER_HZ is 100 on every Linux that Node runs on. */
const msPerTick = 10;

/** Usage of each process now. */
export async function usage(
  instance: Instance,
): Promise<{ readonly [name in (typeof names)[number]]: Usage }> {
  const [services, vault, nats] = await Promise.all(
    names.map(async (name) => await read(await instance.pid(name))),
  );
  if (!services || !vault || !nats) throw new Error("a process is missing");
  return { services, vault, nats };
}

async function read(pid: number): Promise<Usage> {
  const [status, stat] = await Promise.all([
    readFile(`/proc/${pid}/status`, "utf8"),
    readFile(`/proc/${pid}/stat`, "utf8"),
  ]);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    rssMiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024,
    cpuMs: (Number(fields[11]) + Number(fields[12])) * msPerTick,
  };
}
