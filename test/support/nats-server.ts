/** A real nats-server on a free port, with users, nkeys and permissions generated from manifests. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pairs, permissions } from "../../core/acl.ts";
import type { Manifest } from "../../core/plugin.ts";
import type { PairKeys } from "../../core/seals.ts";
import { createNkey, formatNatsConfiguration } from "../../deploy/nats.ts";
import { freePort } from "./ports.ts";

/** A running server. */
export interface TestNats extends AsyncDisposable {
  readonly url: string;
  /** Seeds by plugin. */
  readonly seeds: ReadonlyMap<string, Uint8Array>;
  readonly pairKeys: PairKeys;
  /** Kills the server without notice. */
  kill(): Promise<void>;
  /** Starts it again on the same port. */
  start(): Promise<void>;
}

/** Starts a server that knows exactly these plugins. */
export async function startNats(manifests: readonly Manifest[]): Promise<TestNats> {
  const directory = await mkdtemp(join(tmpdir(), "chancery-nats-"));
  const port = await freePort();
  const seeds = new Map<string, Uint8Array>();
  const users = [...permissions(manifests)].map(([name, allowed]) => {
    const { seed, publicKey } = createNkey();
    seeds.set(name, new TextEncoder().encode(seed));
    return { name, publicKey, permissions: allowed };
  });
  const configuration = join(directory, "nats.conf");
  await writeFile(configuration, formatNatsConfiguration(port, users));
  const keys = new Map(pairs(manifests).map((pair) => [pair.join("--"), randomBytes(32)]));

  let server: ChildProcess | null = null;
  const start = async (): Promise<void> => {
    server = spawn("nats-server", ["-c", configuration], { stdio: "ignore" });
    await listening(port);
  };
  const kill = async (): Promise<void> => {
    if (!server || server.exitCode !== null) return;
    const gone = once(server, "exit");
    server.kill("SIGKILL");
    await gone;
    server = null;
  };
  await start();
  return {
    url: `nats://127.0.0.1:${port}`,
    seeds,
    pairKeys: (asker, answerer) => keys.get(`${asker}--${answerer}`),
    kill,
    start,
    async [Symbol.asyncDispose]() {
      await kill();
      await rm(directory, { recursive: true });
    },
  };
}

async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 2_400; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("nats-server does not listen");
}
