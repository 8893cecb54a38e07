/**
 * The plugin contract. A plugin states what it offers, needs, emits, follows, keeps and reads by naming the declarations in
 * `events/`; the compiler, the kernel and the NATS server all enforce that statement. Read this file first.
 */
import type {
  AnswerOf,
  Ask,
  BodyOf,
  Fact,
  In,
  Metric,
  Out,
  QuestionOf,
  Schema,
} from "../events/contract.ts";
import type { Clock } from "./clock.ts";
import type { OutboundFetch } from "./fetch.ts";
import type { Journal } from "./journal.ts";
import type {
  Append,
  Committed,
  Expectation,
  Reader,
  Record,
  Row,
  Range,
  Write,
} from "./storage.ts";
import type { Part } from "./trace.ts";

/** Everything the kernel knows about a plugin before running any of its code. */
export interface Manifest<
  Config extends Schema = Schema,
  Offers extends readonly Ask[] = readonly Ask[],
  Needs extends readonly Ask[] = readonly Ask[],
  Emits extends readonly Fact[] = readonly Fact[],
  Follows extends readonly Fact[] = readonly Fact[],
> {
  /** Also the folder name, the config section and the first token of its subjects. */
  readonly name: string;
  /** One sentence for `--help` and health pages. */
  readonly summary: string;
  /** Rejects unknown keys and fills in defaults. Must not read files or the environment. */
  readonly config: Config;
  /** Asks it answers. Across all plugins each ask is offered exactly once. */
  readonly offers: Offers;
  /** Asks it may put to others. Booting fails if nobody offers one of them. */
  readonly needs: Needs;
  /** Facts it may write. Needs `keeps`. */
  readonly emits: Emits;
  /** Facts delivered to it, at least once, in the order they were written. Needs `keeps`, for its cursors. */
  readonly follows: Follows;
  /** The state it owns; absent means stateless, and then it neither emits nor follows. */
  readonly keeps?: Keeps;
  /** Names the partitions of a plugin with `keeps: { partitioned: true }` from its configuration; they are also its fact streams. */
  partitions?(config: Out<Config>): readonly string[];
  /**
   * True if it must run in one process at a time although it keeps nothing, where several processes run the same plugins. What keeps
   * state does so anyway; all others run in every process, and remember nothing that another one would have to know.
   */
  readonly single?: boolean;
  /** Rooms whose immutable rows it reads through a read-only handle. */
  readonly reads?: readonly string[];
  /** Rooms it sends MACed statements to through third parties, as identity does to the vault. */
  readonly vouchesTo?: readonly string[];
  /** True for the door: it may ask every room for its health. */
  readonly oversees?: boolean;
  /** True for the metrics room: it may ask every room for what it counts. */
  readonly measures?: boolean;
  /** What it touches outside the bus. `deploy/` turns this into the unit's sandbox. */
  readonly reaches: readonly Reach[];
}

/** State a plugin owns: tables in each of its partitions. */
interface Keeps {
  readonly tables: readonly string[];
  /** Append-only streams besides the one the kernel keeps for facts. */
  readonly streams?: readonly string[];
  /** True if the partitions are named by the configuration (a log each); else there is one, `main`. Needs `partitions` in the manifest. */
  readonly partitioned?: boolean;
  /** True if most of it is values of a thousand bytes and more; a hint for storage, of which nothing else depends. */
  readonly largeValues?: boolean;
  /** True if no request waits for its commits, or few do: storage may do other work first. A hint, too. */
  readonly patient?: boolean;
}

/** A resource outside the bus. `internet` gives `fetch`, `disk` gives `home`. */
export type Reach = "hsm" | "disk" | "listen" | "internet";

/** A fact to be written, made by {@link emit}. */
export interface Emitted<F extends Fact = Fact> {
  readonly fact: F;
  readonly body: BodyOf<F>;
}

/** Pairs a fact with its body, for `store.commit({ facts })`. */
export function emit<F extends Fact>(fact: F, body: BodyOf<F>): Emitted<F> {
  return { fact, body };
}

/** One partition of a plugin's own state. */
export interface Store<Emits extends readonly Fact[] = readonly Fact[]> {
  /**
   * Resolves once writes and facts are durable together; followers are woken after that.
   *
   * @throws {Conflict} if an expectation does not hold; nothing has changed then.
   */
  commit(commit: {
    readonly writes?: readonly Write[];
    readonly expect?: readonly Expectation[];
    readonly appends?: readonly Append[];
    readonly facts?: readonly Emitted<Emits[number]>[];
  }): Promise<Committed>;
  get(table: string, key: Uint8Array): Promise<Uint8Array | null>;
  scan(table: string, range: Range): Promise<readonly Row[]>;
  read(stream: string, after: bigint, limit: number): Promise<readonly Record[]>;
}

/** A plugin's own state. */
export interface Stores<Emits extends readonly Fact[] = readonly Fact[]> {
  /**
   * The partition `main` of an unpartitioned plugin, or the named one. A partitioned plugin may name one that its configuration did
   * not name when it started: followers learn of it with the next facts they ask for.
   *
   * @throws {MissingPartition}
   */
  open(partition?: string): Promise<Store<Emits>>;
}

/** Proves to another process who said something, even when a third party carries it. */
export interface Seals {
  /** HMAC-SHA-256 over `statement` under the key shared with `room`, which must be in `vouchesTo`. */
  seal(room: string, statement: Uint8Array): Uint8Array;
  /** True if `room`, which vouches to this plugin, sealed exactly `statement`. Constant time. */
  verify(room: string, statement: Uint8Array, mac: Uint8Array): boolean;
}

/** What a plugin is given. It has nothing else: no globals, no environment, no other plugin. */
export interface Context<
  Config extends Schema = Schema,
  Needs extends readonly Ask[] = readonly Ask[],
  Emits extends readonly Fact[] = readonly Fact[],
> {
  readonly config: Out<Config>;
  readonly clock: Clock;
  /** Structured diagnostics. Never called "log": in this system the log is the transparency log. */
  readonly journal: Journal;
  /** Aborts when draining begins: finish what was accepted, accept nothing more. */
  readonly draining: AbortSignal;
  /**
   * Puts an ask. The trace and the remaining deadline of the ask being answered travel along by themselves.
   *
   * @throws {Failure} with one of the ask's codes.
   */
  readonly ask: <A extends Needs[number]>(ask: A, question: QuestionOf<A>) => Promise<AnswerOf<A>>;
  /**
   * Begins a traced request from outside: what is run as part of it, and what its asks cause, carries `traceparent` if that is a valid
   * W3C header, else a fresh one. For doors, which say when it has ended.
   */
  readonly trace: (traceparent: string | undefined) => Part;
  /**
   * Runs `work` outside the ask being answered: its asks have a fresh trace and their full deadline. For loops that serve many
   * askers at once and are started or woken by one of them.
   */
  readonly detached: <T>(work: () => T) => T;
  /** Own state; throws on use unless the manifest keeps some. */
  readonly stores: Stores<Emits>;
  /** A read-only handle on another room's partition; the room must be in `reads`. */
  readonly reads: (room: string, partition?: string) => Promise<Reader>;
  readonly seals: Seals;
  /** The guarded outbound client; throws on use unless the manifest reaches `internet`. */
  readonly fetch: OutboundFetch;
  /** Absolute path of `CHANCERY_HOME`; throws on use unless the manifest reaches `disk`, `hsm` or `listen`. */
  readonly home: () => string;
  /** The token's PIN from the supervisor; throws on use unless the manifest reaches `hsm`. */
  readonly pin: () => Promise<string>;
  /** Every room's health, asked for now; throws on use unless the manifest oversees. */
  readonly peers: () => Promise<Readonly<{ [room: string]: Health }>>;
  /** What every room counts, as it stands when this is called; rooms that do not answer are left out. Throws on use unless the manifest measures. */
  readonly metrics: () => Promise<readonly (readonly Metric[])[]>;
}

/** A started plugin. */
export interface Running<
  Offers extends readonly Ask[] = readonly Ask[],
  Follows extends readonly Fact[] = readonly Fact[],
> {
  /**
   * One function per offered ask, which throws a {@link Failure} to refuse, and one per followed fact, which must be idempotent:
   * a fact may arrive twice.
   */
  readonly handlers: Answers<Offers> & Reactions<Follows>;
  /**
   * For followers that write many facts at once: called after the handlers of a batch and before the cursor moves past it. Resolves
   * when everything the handlers have taken is durable; if it throws, the batch comes again.
   */
  readonly settle?: () => Promise<void>;
  /** From state already at hand: it asks nobody and touches nothing. Absent means always ok. */
  readonly health?: () => Health;
  /** What it counts besides its asks, which the kernel counts. Label values are of closed sets, so that no caller can add series. */
  readonly metrics?: () => Promise<readonly Metric[]>;
  /**
   * For those that let requests in from outside: called first when the installation drains, and nobody else's `draining` aborts
   * before it has resolved. Takes nothing more, and resolves when what came in is finished.
   */
  readonly drain?: () => Promise<void>;
  /** Releases what `start` acquired. Called after draining, in reverse start order. */
  readonly [Symbol.asyncDispose]?: () => Promise<void>;
}

/** One handler an offered ask. */
export type Answers<Offers extends readonly Ask[]> = {
  readonly [A in Offers[number] as A["name"]]: (
    question: Out<A["question"]>,
    envelope: Envelope,
  ) => Promise<In<A["answer"]>>;
};

/** One handler a followed fact. */
type Reactions<Follows extends readonly Fact[]> = {
  readonly [F in Follows[number] as F["name"]]: (
    body: Out<F["body"]>,
    envelope: Envelope & { readonly sequence: bigint; readonly stream: string },
  ) => Promise<void>;
};

/** What accompanies every message. */
export interface Envelope {
  /** Unique per ask. */
  readonly id: string;
  /** W3C traceparent, so that one request can be followed through every plugin. */
  readonly trace: string;
  /** Name of the plugin that asked, vouched for by NATS and by the pairwise MAC. */
  readonly from: string;
  /** When the asker stops waiting, milliseconds since the epoch. */
  readonly deadlineAtMs: number;
}

/** How a plugin is. */
export type Health =
  | { readonly status: "ok" }
  | { readonly status: "degraded" | "failed"; readonly reason: string; readonly since: Date };

/** Brings a plugin to life, using its context and what its manifest reaches, and nothing else. */
export type Start<
  Config extends Schema = Schema,
  Offers extends readonly Ask[] = readonly Ask[],
  Needs extends readonly Ask[] = readonly Ask[],
  Emits extends readonly Fact[] = readonly Fact[],
  Follows extends readonly Fact[] = readonly Fact[],
> = (context: Context<Config, Needs, Emits>) => Promise<Running<Offers, Follows>>;

/**
 * The token refused the PIN. Thrown by `start` or later, it ends the process with an exit code that tells the supervisor not to
 * start it again: every further attempt would bring the token nearer to locking itself.
 */
export class PinRefused extends Error {
  override readonly name = "PinRefused";
}

/**
 * What the plugin found must not be built on, and only an operator can put it right. Thrown by `start`, it ends the process with an
 * exit code that tells the supervisor to leave it down and show the sentence.
 */
export class StartRefused extends Error {
  override readonly name = "StartRefused";
}

/** A plugin as the kernel holds it: the types have done their work and are forgotten. */
export interface Plugin {
  readonly manifest: Manifest;
  start(context: Context): Promise<Running>;
}

/**
 * Declares a plugin in `manifest.ts`; `plugin.ts` then calls `.implement(start)` on the result. Two files, so that a process loads
 * only the code it runs; two steps, so that the compiler knows the manifest before it checks the implementation against it.
 */
export function definePlugin<
  Config extends Schema,
  const Offers extends readonly Ask[],
  const Needs extends readonly Ask[],
  const Emits extends readonly Fact[],
  const Follows extends readonly Fact[],
>(manifest: Manifest<Config, Offers, Needs, Emits, Follows>) {
  return {
    manifest,
    implement(start: Start<Config, Offers, Needs, Emits, Follows>): Plugin {
      // The kernel validates with the manifest's schemas exactly what the types promise here.
      return { manifest, start: start as unknown as Plugin["start"] };
    },
  };
}
