/** Which server is written to, and that its settings lose no commit. */
import { readFile } from "node:fs/promises";
import pg from "pg";
import { StorageUnreachable, UnsafeStorage } from "../../core/storage.ts";
import { closeConnection, codeOf, isLostConnection, textOf, unlessLost } from "./postgres-query.ts";

/** Where the database is. */
export interface PostgresOptions {
  /** Hosts (or folders of sockets) and ports: the primary and whatever may be promoted. Exactly one of them may accept writes. */
  readonly servers: readonly { readonly host: string; readonly port: number }[];
  readonly database: string;
  readonly user: string;
  /** A file that holds the password and nothing else; without it the server must know us by other means. */
  readonly passwordFile?: string | undefined;
  /** `verify-full` with the certificates of this PEM file; without it the connection is not encrypted, which is for one machine. */
  readonly authorityFile?: string | undefined;
  /** Refuse a server that commits without a synchronous standby. Default false. */
  readonly requiresStandby?: boolean | undefined;
}

/** A result's columns arrive as the bytes the server sent. */
const rawTypes = { getTypeParser: () => (value: unknown) => value };
const connectMs = 5_000;
const statementMs = 30_000;
/** A process that is paused in the middle of a transaction keeps others waiting no longer than this. */
const idleInTransactionMs = 10_000;
const poolSize = 4;
/** One of them, which no server has by itself: a connection that lacks it is not ours alone. */
const ownSetting = { name: "plan_cache_mode", value: "force_generic_plan" } as const;
/**
 * Every statement names rows by their keys, so it has one good plan whatever the tables hold: the server makes it once a connection,
 * and never one that reads a whole table because that was small at the time.
 */
const planning = [
  `${ownSetting.name}=${ownSetting.value}`,
  "enable_seqscan=off",
  "enable_bitmapscan=off",
  "enable_hashjoin=off",
  "enable_mergejoin=off",
  "jit=off",
];

/**
 * A connection to the one server that accepts writes, proven to keep what it acknowledges.
 *
 * @throws {UnsafeStorage} if a setting loses commits, or more than one server accepts writes
 * @throws {StorageUnreachable} if none of the servers can be used now
 */
export async function findServer(options: PostgresOptions): Promise<pg.Client> {
  const found = await Promise.allSettled(
    options.servers.map(async (server) => await connectTo(server, options)),
  );
  const clients = found.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const writable = clients.filter(({ isWritable }) => isWritable);
  const [chosen, ...others] = writable;
  const close = async (spared?: pg.Client) => {
    await Promise.all(
      clients.map(async ({ client }) => {
        if (client !== spared) await closeConnection(client);
      }),
    );
  };
  if (chosen === undefined) {
    await close();
    const reasons = found.map((one) => (one.status === "rejected" ? sentence(one.reason) : ""));
    throw new StorageUnreachable(
      `no PostgreSQL server of the configuration accepts writes: ${reasons.filter(Boolean).join("; ") || "all are standbys"}`,
    );
  }
  if (others.length > 0) {
    await close();
    throw new UnsafeStorage(
      `${writable.map(({ name }) => name).join(" and ")} both accept writes; stop the one that was left behind`,
    );
  }
  try {
    await unlessLost(chosen.client, checkSettings(chosen.client, options));
    await close(chosen.client);
    return chosen.client;
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** Connections that only read. */
export interface ReadingPool {
  /** Lends a connection; a broken one is replaced once, because nothing that reads has an effect. */
  use<T>(read: (client: pg.Client) => Promise<T>): Promise<T>;
  end(): Promise<void>;
}

/** A pool of at most four connections to the server that accepts writes: what was committed is seen there at once. */
export function readonlyPool(options: PostgresOptions): ReadingPool {
  const idle: pg.Client[] = [];
  const waiting: (() => void)[] = [];
  let lent = 0;
  let ended = false;

  const take = async (): Promise<pg.Client> => {
    while (lent >= poolSize) await new Promise<void>((resolve) => waiting.push(resolve));
    if (ended) throw new Error("the storage is closed");
    lent++;
    try {
      return idle.pop() ?? (await connectReading(options));
    } catch (thrown) {
      giveBack();
      throw thrown;
    }
  };
  const giveBack = () => {
    lent--;
    waiting.shift()?.();
  };

  const once = async <T>(read: (client: pg.Client) => Promise<T>): Promise<T> => {
    const client = await take();
    try {
      const value = await unlessLost(client, read(client));
      if (ended) await closeConnection(client);
      else idle.push(client);
      return value;
    } catch (thrown) {
      // Not lent again: what state it is in is not known.
      await closeConnection(client);
      throw thrown;
    } finally {
      giveBack();
    }
  };

  return {
    async use(read) {
      try {
        return await once(read);
      } catch (thrown) {
        if (!isLostConnection(thrown)) throw thrown;
        for (const client of idle.splice(0)) await closeConnection(client);
        return await once(read);
      }
    },
    async end() {
      ended = true;
      for (const client of idle.splice(0)) await closeConnection(client);
    },
  };
}

interface Found {
  readonly client: pg.Client;
  readonly name: string;
  readonly isWritable: boolean;
}

async function connectTo(
  { host, port }: PostgresOptions["servers"][number],
  options: PostgresOptions,
): Promise<Found> {
  const client = new pg.Client({
    host,
    port,
    database: options.database,
    user: options.user,
    ...(options.passwordFile !== undefined && {
      password: (await readFile(options.passwordFile, "utf8")).replace(/\r?\n$/, ""),
    }),
    ...(options.authorityFile !== undefined && {
      ssl: { ca: await readFile(options.authorityFile, "utf8"), rejectUnauthorized: true },
    }),
    application_name: "chancery",
    connectionTimeoutMillis: connectMs,
    statement_timeout: statementMs,
    idle_in_transaction_session_timeout: idleInTransactionMs,
    options: planning.map((setting) => `-c ${setting}`).join(" "),
    keepAlive: true,
    pipeline: true,
    types: rawTypes,
  });
  // Without a listener a connection that breaks while nobody asks would end the process; the next query says it.
  client.on("error", () => undefined);
  const name = `${host}:${port}`;
  try {
    await client.connect();
    const recovery = await unlessLost(client, textOf(client, "SELECT pg_is_in_recovery()"));
    return { client, name, isWritable: recovery === "f" };
  } catch (cause) {
    await closeConnection(client);
    throw new Error(`${name}: ${sentence(cause)}`, { cause });
  }
}

async function connectReading(options: PostgresOptions): Promise<pg.Client> {
  const client = await findServer(options);
  await unlessLost(client, client.query("SET default_transaction_read_only = on"));
  return client;
}

/** Server settings that a commit's durability hangs on, as they must be. */
const needed: readonly { readonly name: string; readonly wants: RegExp; readonly say: string }[] = [
  { name: "fsync", wants: /^on$/, say: "on" },
  { name: "full_page_writes", wants: /^on$/, say: "on" },
  { name: "synchronous_commit", wants: /^(?:on|remote_apply)$/, say: "on or remote_apply" },
  { name: "server_encoding", wants: /^UTF8$/, say: "UTF8" },
];
const oldestServer = 150_000;

async function checkSettings(client: pg.Client, options: PostgresOptions): Promise<void> {
  const version = Number(await show(client, "server_version_num"));
  if (!(version >= oldestServer)) {
    throw new UnsafeStorage(`PostgreSQL ${version} is too old; 15 is the oldest that works here`);
  }
  for (const { name, wants, say } of needed) {
    const found = await show(client, name);
    if (wants.test(found)) continue;
    throw new UnsafeStorage(
      `PostgreSQL's ${name} is ${found}, with which acknowledged commits can be lost; set it to ${say}`,
    );
  }
  if ((await show(client, ownSetting.name)) !== ownSetting.value) {
    throw new UnsafeStorage(
      "PostgreSQL does not keep to what this connection asked for: a pooler stands in front of it, which lends one connection to several clients; name the server itself",
    );
  }
  if (options.requiresStandby && (await show(client, "synchronous_standby_names")) === "") {
    throw new UnsafeStorage(
      "PostgreSQL has no synchronous_standby_names, and the configuration requires a synchronous standby",
    );
  }
}

async function show(client: pg.Client, name: string): Promise<string> {
  return await textOf(client, `SHOW ${name}`);
}

function sentence(thrown: unknown): string {
  const said = thrown instanceof Error ? thrown.message : String(thrown);
  return said === "" ? (codeOf(thrown) ?? "no answer") : said;
}
