/** The npm package `sigstore`, which none of us wrote, installed where no file of ours is and used over its public functions. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { oncePerRun } from "./run-folder.ts";

const version = "5.0.1";

/** What `sigstore-client.cjs` is asked to do. */
export type Job =
  | { readonly action: "sign"; readonly data: Uint8Array; readonly options: object }
  | {
      readonly action: "attest";
      readonly data: Uint8Array;
      readonly payloadType: string;
      readonly options: object;
    }
  | {
      readonly action: "build";
      readonly data: Uint8Array;
      readonly signingConfig: unknown;
      readonly identityToken: string;
      /** Present for an envelope. */
      readonly payloadType?: string;
    }
  | {
      readonly action: "verify";
      readonly bundle: unknown;
      readonly data?: Uint8Array;
      readonly options: object;
    };

/** An installed client. */
export interface SigstoreClient extends AsyncDisposable {
  readonly folder: string;
  /** @throws with the client's own message if it refuses. */
  run(job: Job): Promise<unknown>;
  /** Several jobs, one after the other, in one process. @throws with the message of the first that it refuses */
  runAll(jobs: readonly Job[]): Promise<readonly unknown[]>;
}

/** A new folder of the system's temporary directory with the client, which is installed once a run. */
export async function installSigstoreClient(): Promise<SigstoreClient> {
  const installed = await oncePerRun("sigstore-client", install);
  const folder = await mkdtemp(join(tmpdir(), "sigstore-client-"));
  await symlink(join(installed, "node_modules"), join(folder, "node_modules"));
  const script = join(folder, "client.cjs");
  await copyFile(new URL("../scenario/sigstore-client.cjs", import.meta.url), script);
  await mkdir(join(folder, "cache"));
  return {
    folder,
    run: async (job) => (await runJobs(folder, script, [job]))[0],
    runAll: async (jobs) => await runJobs(folder, script, jobs),
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function install(folder: string): Promise<void> {
  await writeFile(join(folder, "package.json"), '{"private": true}');
  // npm chooses versions by the Node that runs it, so it must meet this one first.
  const PATH = `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`;
  const flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=5"];
  const args = ["install", ...flags, `sigstore@${version}`];
  await promisify(execFile)("npm", args, { cwd: folder, env: { ...process.env, PATH } });
}

async function runJobs(
  folder: string,
  script: string,
  jobs: readonly Job[],
): Promise<readonly unknown[]> {
  const child = spawn(process.execPath, [script], {
    cwd: folder,
    stdio: ["pipe", "pipe", "inherit"],
    timeout: 240_000,
  });
  child.stdin.end(JSON.stringify(jobs.map((job) => ({ ...job, data: job.data?.toBase64() }))));
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString("utf8")));
  await once(child, "close");
  const answer = JSON.parse(said) as { results?: unknown[]; error?: string };
  if (answer.error !== undefined) throw new Error(answer.error);
  return answer.results ?? [];
}
