/** One process of an installation, from its command line to its exit. */
import { parseArgs } from "node:util";
import { pairs } from "./acl.ts";
import { clockOf } from "./clock.ts";
import { compositeBus } from "./composite.ts";
import { ExitCode } from "./exit-codes.ts";
import type { OutboundFetch } from "./fetch.ts";
import { CompositionError, startOrder } from "./graph.ts";
import type { Journal } from "./journal.ts";
import { boot, configure, type Entry, type Installation } from "./kernel.ts";
import { memoryBus } from "./memory.ts";
import { natsBus } from "./nats.ts";
import { readPin } from "./pin.ts";
import { type Manifest, PinRefused, StartRefused } from "./plugin.ts";
import { sealsFrom } from "./seals.ts";
import { readNkeySeed, readPairKeys } from "./secrets.ts";
import { MissingPartition, type StorageDriver, Superseded, UnsafeStorage } from "./storage.ts";
import { joinTurn } from "./turn.ts";

/** An installation as its home describes it. */
export interface Installed {
  readonly entries: readonly Entry[];
  /** Who asks these plugins without being one. */
  readonly guests?: readonly Manifest[];
  /** One section a plugin. */
  readonly config: { readonly [section: string]: unknown };
  /** The process each plugin is placed in. */
  readonly placement: ReadonlyMap<string, string>;
  readonly natsUrl: string;
  readonly storage: StorageDriver;
  readonly fetch: OutboundFetch;
}

/** What the command line says. */
export interface ProcessArguments {
  readonly home: string;
  readonly process: string;
  readonly pinDescriptor: number | undefined;
}

/** Who is told what happens in a process. */
export interface ProcessWitnesses {
  readonly journal: (plugin: string) => Journal;
  /** Told when the process must end; it may do so itself. */
  readonly fatal: (reason: string, cause: unknown) => void;
}

/** @throws {TypeError} that says how the command is used. */
export function parseProcessArguments(args: readonly string[]): ProcessArguments {
  const usage = "usage: node core/main.ts --home DIR --process NAME [--pin-fd N]";
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        home: { type: "string" },
        process: { type: "string" },
        "pin-fd": { type: "string" },
      },
    });
    const descriptor = values["pin-fd"];
    if (values.home === undefined || values.process === undefined) throw new TypeError(usage);
    if (descriptor !== undefined && !/^[0-9]{1,4}$/.test(descriptor)) throw new TypeError(usage);
    return {
      home: values.home,
      process: values.process,
      pinDescriptor: descriptor === undefined ? undefined : Number(descriptor),
    };
  } catch (cause) {
    throw new TypeError(usage, { cause });
  }
}

/**
 * Connects and boots the plugins placed in this process. Disposing the result drains them, then disconnects.
 *
 * @throws {CompositionError} if home or configuration are wrong.
 */
export async function startProcess(
  args: ProcessArguments,
  installed: Installed,
  { journal, fatal }: ProcessWitnesses,
): Promise<Installation> {
  const { home, process, pinDescriptor } = args;
  const { entries, guests = [], placement, config, natsUrl, storage, fetch } = installed;
  const here = (name: string): boolean => placement.get(name) === process;
  const manifests = entries.map(({ manifest }) => manifest);
  const placed = manifests.filter(({ name }) => here(name)).map(({ name }) => name);
  if (placed.length === 0) {
    const names = [...new Set(placement.values())].join(", ");
    throw new CompositionError(
      `no plugin is placed in the process "${process}": there are ${names}`,
    );
  }
  const pairKeys = await readPairKeys(
    home,
    pairs([...manifests, ...guests]).filter((pair) => pair.some(here)),
  );
  const plugins = await Promise.all(
    placed.map(async (name) => ({ name, seed: await readNkeySeed(home, name) })),
  );
  const pin = pinDescriptor === undefined ? undefined : await readPin(pinDescriptor);

  await using stack = new AsyncDisposableStack();
  stack.use(storage);
  const sections = await configure(startOrder(manifests), config);
  const tenants = manifests.filter(({ name }) => here(name));
  const turn = await joinTurn(storage, process, tenants, sections);
  if (turn !== null) stack.use(turn.lease);
  const remote = await natsBus({
    servers: [natsUrl],
    plugins,
    pairKeys,
    journal,
    // A room that runs in every process does not end what another one's is answering.
    replaces: (room) => turn === null || turn.isSingle(room),
  });
  const present = (room: string): boolean => here(room) && turn?.isAway(room) !== true;
  const bus = stack.use(compositeBus(memoryBus(), remote, present));
  const surroundings = {
    bus,
    clock: clockOf(home),
    journal,
    storage,
    seals: sealsFrom(pairKeys),
    fetch,
    home,
    fatal,
    ...(turn !== null && { turn }),
    ...(pin !== undefined && { pin: async () => await Promise.resolve(pin) }),
  };
  const installation = await boot(entries, config, surroundings, here);
  stack.use(installation);
  const owned = stack.move();
  return { ...installation, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

/** The exit code for what ended a process. */
export function exitCodeFor(thrown: unknown): number {
  // What was released after a failed start failed too; the first failure decides.
  if (thrown instanceof SuppressedError) return exitCodeFor(thrown.suppressed);
  if (thrown instanceof PinRefused) return ExitCode.pinRefused;
  if (thrown instanceof Superseded) return ExitCode.superseded;
  const isForTheOperator = [CompositionError, MissingPartition, StartRefused, UnsafeStorage].some(
    (refusal) => thrown instanceof refusal,
  );
  if (isForTheOperator) return ExitCode.environment;
  // The vault's own refusal to start: the kernel knows it by name only.
  if (thrown instanceof Error && thrown.name === "VaultRefused") return ExitCode.environment;
  return ExitCode.crashed;
}
