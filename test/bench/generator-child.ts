/**
 * The load generator, a process of its own so that its work is not counted as the service's and its pauses are not the measurer's.
 * Over IPC it makes material first and then runs it: `{ id, run: Job }` is answered with `{ id, done }` or `{ id, failed }`.
 */
import { sender } from "./http.ts";
import { closedLoop, type Load, openLoop } from "./load.ts";
import { operations } from "./operations.ts";

/** Material to make, or a run of what was made. */
export type Job =
  | {
      readonly make: { readonly home: string; readonly origin: string };
      readonly operation: string;
      readonly count: number;
    }
  | { readonly closed: { readonly lanes: number; readonly seconds: number } }
  /** With a number of connections, all of them are open before the clock runs. */
  | { readonly open: { readonly perSecond: number; readonly connections?: number } };

/** What a job came to: a run's load, and the CPU time the generator used for it. */
export interface Done {
  readonly load: Load | null;
  readonly cpuMs: number;
}

/** Beyond this, requests of an open loop wait in the generator, and their waiting counts. */
const openConnections = 1_024;

type Material = Parameters<typeof openLoop>[1] & { readonly origin: string };
let made: Material | null = null;

process.on("message", (message: { readonly id: number; readonly run: Job }) => {
  const before = process.cpuUsage();
  perform(message.run).then(
    (load) => {
      const { user, system } = process.cpuUsage(before);
      const done: Done = { load, cpuMs: (user + system) / 1_000 };
      process.send?.({ id: message.id, done });
    },
    (thrown: unknown) => {
      const failed = thrown instanceof Error ? thrown.message : String(thrown);
      process.send?.({ id: message.id, failed });
    },
  );
});
process.once("disconnect", () => process.exit(0));

async function perform(job: Job): Promise<Load | null> {
  if ("make" in job) {
    made = await makeMaterial(job);
    return null;
  }
  if (made === null) throw new Error("no material has been made");
  const material = made;
  made = null;
  const connections =
    "closed" in job ? job.closed.lanes : (job.open.connections ?? openConnections);
  using client = sender(material.origin, connections);
  if ("closed" in job) return await closedLoop(client.send, material, job.closed);
  if (job.open.connections !== undefined) await client.open();
  return await openLoop(client.send, material, job.open.perSecond);
}

async function makeMaterial(job: Extract<Job, { make: unknown }>): Promise<Material> {
  const operation = operations.find(({ name }) => name === job.operation);
  if (operation === undefined) throw new Error(`there is no operation ${job.operation}`);
  using client = sender(job.make.origin, 64);
  const material = await operation.make({ ...job.make, send: client.send }, job.count);
  return { material, expected: operation.expected, origin: job.make.origin };
}
