/** What is shown to clients, and how it changes: renewed in time, and replaced when a ceremony has signed new targets. */
import { join } from "node:path";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import type { Health, Store } from "../../core/plugin.ts";
import type { Write } from "../../core/storage.ts";
import type { AnswerOf, QuestionOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import type { publishRoot, publishTargets, readTrustFile } from "../../events/trust.ts";
import type { TrustContext } from "./manifest.ts";
import { due, type Online, readOnline, renew, requireOnlineKeys } from "./online.ts";
import { takeRoot, takeTargets } from "./publication.ts";
import { readRepository, type Repository } from "./repository.ts";
import { readShared, rowsToShare, writeMissing } from "./shared.ts";

/** How long before the root or the targets expire an operator is told: a ceremony takes time. */
const ceremonyNoticeMs = 30 * 86_400_000;

/** The repository that is shown. Nothing is before it has been verified, and nothing that the maps in it do not name. */
export class Shown {
  readonly #context: TrustContext;
  readonly #directory: string;
  readonly #store: Store;
  #state: State;
  #turn: Promise<unknown> | null = null;

  /** Reads it, and renews what is due. @throws if what there is has expired and cannot be renewed */
  static async open(context: TrustContext): Promise<Shown> {
    const directory = join(context.home(), context.config.directory);
    const store = await context.stores.open();
    // What was published while another process had the turn, on another machine perhaps.
    const shared = await readShared(store);
    await writeMissing(directory, shared);
    const repository = await readRepository(directory);
    await keepIn(store, rowsToShare(repository.files, shared));
    const online = await readOnline(store, repository);
    const state = { repository, online, trouble: null };
    const shown = new Shown(context, { directory, store, state });
    // Before readiness: what is published must be fresh, or at least still valid.
    await shown.#refresh().catch((cause: unknown) => {
      if (online === null || expired(online, context.clock.now())) throw cause;
      shown.#report(cause);
    });
    return shown;
  }

  private constructor(
    context: TrustContext,
    parts: { readonly directory: string; readonly store: Store; readonly state: State },
  ) {
    this.#context = context;
    this.#directory = parts.directory;
    this.#store = parts.store;
    this.#state = parts.state;
  }

  /** Renews what is due; what fails is tried again at the next tick. */
  tick(): void {
    // During a renewal it does nothing: they must not overlap.
    if (this.#turn !== null) return;
    this.#inTurn(async () => await this.#refresh()).catch((cause: unknown) => this.#report(cause));
  }

  /** The handler of `publishTargets`. @throws {Failure} */
  async publish(
    publication: QuestionOf<typeof publishTargets>,
  ): Promise<AnswerOf<typeof publishTargets>> {
    const { clock, journal } = this.#context;
    await this.#inTurn(async () => {
      const { repository } = this.#state;
      const question = { publication, now: clock.now(), keep: this.#keep };
      const next = await takeTargets(this.#directory, repository, question);
      this.#state = { ...this.#state, repository: next };
      await this.#refresh();
    });
    const { online, repository } = this.#state;
    if (online === null) throw new Failure("internal", "nothing is published");
    journal.info("targets-published", { targets: repository.targets.version });
    const { snapshot, timestamp } = online;
    return {
      targets: snapshot.targets.version,
      snapshot: snapshot.version,
      timestamp: timestamp.version,
    };
  }

  /** The handler of `publishRoot`. @throws {Failure} */
  async publishRoot(file: Uint8Array): Promise<AnswerOf<typeof publishRoot>> {
    const { clock, journal } = this.#context;
    await this.#inTurn(async () => {
      const requireKeys = async (root: Repository["root"]) =>
        await requireOnlineKeys(this.#context, root);
      const question = { file, now: clock.now(), requireKeys, keep: this.#keep };
      const next = await takeRoot(this.#directory, this.#state.repository, question);
      // Whatever another root no longer believes is signed again.
      this.#state = {
        ...this.#state,
        repository: next,
        online: await readOnline(this.#store, next),
      };
      await this.#refresh();
    });
    const { online, repository } = this.#state;
    if (online === null) throw new Failure("internal", "nothing is published");
    const { version } = repository.root;
    journal.info("root-published", { root: version });
    return {
      root: version,
      snapshot: online.snapshot.version,
      timestamp: online.timestamp.version,
    };
  }

  /** The handler of `readTrustFile`. @throws {Failure} not-found */
  async read(path: string): Promise<AnswerOf<typeof readTrustFile>> {
    const { repository, online } = this.#state;
    const fixed = repository.files.get(path);
    if (fixed !== undefined) return { content: fixed, immutable: true };
    const current = currentFile(path, repository, online);
    if (current !== undefined) return { content: current, immutable: false };
    // A client that has read the timestamp before the last still comes for its snapshot.
    const stored = /^[1-9]\d{0,9}\.snapshot\.json$/.test(path)
      ? await this.#store.get("files", encodeUtf8(path))
      : null;
    if (stored === null) throw new Failure("not-found", "there is no such file");
    return { content: stored, immutable: true };
  }

  health(): Health {
    return judge(this.#state, this.#context.clock.now());
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  readonly #keep = async (files: Repository["files"]): Promise<void> =>
    await keepIn(this.#store, rowsToShare(files, await readShared(this.#store)));

  async #refresh(): Promise<void> {
    const { config, clock, journal } = this.#context;
    const { repository, online } = this.#state;
    const roles = due(online, { repository, config, now: clock.now() });
    if (roles.length > 0) {
      const place = { store: this.#store, repository };
      const renewed = await renew(this.#context, place, { online, roles });
      this.#state = { ...this.#state, online: renewed };
      const { snapshot, timestamp } = renewed;
      journal.info("trust-renewed", { snapshot: snapshot.version, timestamp: timestamp.version });
    }
    this.#state = { ...this.#state, trouble: null };
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    while (this.#turn !== null) await this.#turn;
    const running = work();
    this.#turn = running
      .catch(() => undefined)
      .finally(() => {
        this.#turn = null;
      });
    return await running;
  }

  #report(cause: unknown): void {
    const { journal, clock } = this.#context;
    const { code, message } = Failure.from(cause);
    journal.warn("trust-renewal-failed", { code, message });
    const reason = `renewing the timestamp fails: ${message}`;
    const since = this.#state.trouble?.since ?? clock.now();
    this.#state = { ...this.#state, trouble: { reason, since } };
  }
}

async function keepIn(store: Store, writes: readonly Write[]): Promise<void> {
  if (writes.length > 0) await store.commit({ writes });
}

/** What may change while the plugin runs. */
interface State {
  readonly repository: Repository;
  readonly online: Online | null;
  readonly trouble: { readonly reason: string; readonly since: Date } | null;
}

function currentFile(
  path: string,
  { root, files }: Repository,
  online: Online | null,
): Uint8Array | undefined {
  if (path === "timestamp.json") return online?.timestampFile;
  // Only for people: clients start from a root they trust and count up.
  if (path === "root.json") return files.get(`${root.version}.root.json`);
  return undefined;
}

function expired({ snapshot, timestamp }: Online, now: Date): boolean {
  return snapshot.expires <= now || timestamp.expires <= now;
}

function judge({ repository, online, trouble }: State, now: Date): Health {
  if (online !== null && expired(online, now)) {
    const { snapshot, timestamp } = online;
    const since = snapshot.expires < timestamp.expires ? snapshot.expires : timestamp.expires;
    return { status: "failed", reason: trouble?.reason ?? "the timestamp has expired", since };
  }
  const { root, targets } = repository;
  for (const [name, { expires }] of [
    ["root", root],
    ["targets", targets],
  ] as const) {
    const reason = `the ${name} metadata expire on ${expires.toISOString()}: hold a ceremony`;
    if (expires <= now) return { status: "failed", reason, since: expires };
    const since = new Date(expires.getTime() - ceremonyNoticeMs);
    if (since <= now) return { status: "degraded", reason, since };
  }
  return trouble === null ? { status: "ok" } : { status: "degraded", ...trouble };
}
