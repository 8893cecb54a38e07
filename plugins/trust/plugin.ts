/** The TUF repository. Nothing is served before it has been verified, and nothing that the maps below do not name. */
import { join } from "node:path";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import type { Health } from "../../core/plugin.ts";
import { Failure } from "../../events/failure.ts";
import { trust, type TrustContext } from "./manifest.ts";
import { due, type Online, readOnline, renew } from "./online.ts";
import { takeTargets } from "./publication.ts";
import { readRepository, type Repository } from "./repository.ts";

/** How long before the root or the targets expire an operator is told: a ceremony takes time. */
const ceremonyNoticeMs = 30 * 86_400_000;

export default trust.implement(async (context) => {
  const { config, journal, clock, draining } = context;
  const directory = join(context.home(), config.directory);
  let repository = await readRepository(directory);
  const store = await context.stores.open();
  let online = await readOnline(store, repository);
  let trouble: { readonly reason: string; readonly since: Date } | null = null;

  async function refresh(): Promise<void> {
    const roles = due(online, { repository, config, now: clock.now() });
    if (roles.length > 0) {
      online = await renew(context, { store, repository }, { online, roles });
      const { snapshot, timestamp } = online;
      journal.info("trust-renewed", { snapshot: snapshot.version, timestamp: timestamp.version });
    }
    trouble = null;
  }

  // Before readiness: what is published must be fresh, or at least still valid.
  await refresh().catch((cause: unknown) => {
    if (online === null || expired(online, clock.now())) throw cause;
    trouble = report(context, trouble, cause);
  });

  // Renewals must not overlap: a tick during one does nothing, and a publication waits for it.
  let renewal: Promise<unknown> | null = null;
  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    while (renewal !== null) await renewal;
    const running = work();
    renewal = running
      .catch(() => undefined)
      .finally(() => {
        renewal = null;
      });
    return await running;
  }
  const timer = setInterval(() => {
    if (renewal !== null) return;
    inTurn(refresh).catch((cause: unknown) => {
      trouble = report(context, trouble, cause);
    });
  }, config.checkSeconds * 1_000);
  timer.unref();
  draining.addEventListener("abort", () => clearInterval(timer), { once: true });

  return {
    handlers: {
      async publishTargets(publication, { from }) {
        if (from !== "operator") {
          throw new Failure("access-denied", "only operators publish targets");
        }
        const now = clock.now();
        await inTurn(async () => {
          repository = await takeTargets(directory, repository, { publication, now });
          await refresh();
        });
        if (online === null) throw new Failure("internal", "nothing is published");
        journal.info("targets-published", { targets: repository.targets.version });
        return {
          targets: online.snapshot.targets.version,
          snapshot: online.snapshot.version,
          timestamp: online.timestamp.version,
        };
      },
      async readTrustFile({ path }) {
        const fixed = repository.files.get(path);
        if (fixed !== undefined) return { content: fixed, immutable: true };
        const current = currentFile(path, repository, online);
        if (current !== undefined) return { content: current, immutable: false };
        // A client that has read the timestamp before the last still comes for its snapshot.
        const stored = /^[1-9]\d{0,9}\.snapshot\.json$/.test(path)
          ? await store.get("files", encodeUtf8(path))
          : null;
        if (stored === null) throw new Failure("not-found", "there is no such file");
        return { content: stored, immutable: true };
      },
    },
    health: () => judge({ repository, online, trouble }, clock.now()),
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await renewal;
    },
  };
});

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

function report(
  { journal, clock }: TrustContext,
  before: State["trouble"],
  cause: unknown,
): NonNullable<State["trouble"]> {
  const { code, message } = Failure.from(cause);
  journal.warn("trust-renewal-failed", { code, message });
  return {
    reason: `renewing the timestamp fails: ${message}`,
    since: before?.since ?? clock.now(),
  };
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
