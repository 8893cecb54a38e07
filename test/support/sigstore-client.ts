/** The npm package `sigstore`, which none of us wrote, installed where no file of ours is and used over its public functions. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

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
}

/** Installs the client into a new folder of the system's temporary directory. */
export async function installSigstoreClient(): Promise<SigstoreClient> {
  const folder = await mkdtemp(join(tmpdir(), "sigstore-client-"));
  await writeFile(join(folder, "package.json"), '{"private": true}');
  // npm chooses versions by the Node that runs it, so it must meet this one first.
  const PATH = `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`;
  await promisify(execFile)(
    "npm",
    ["install", "--no-audit", "--no-fund", "--ignore-scripts", `sigstore@${version}`],
    { cwd: folder, env: { ...process.env, PATH } },
  );
  const script = join(folder, "client.cjs");
  await copyFile(new URL("../scenario/sigstore-client.cjs", import.meta.url), script);
  await mkdir(join(folder, "cache"));
  return {
    folder,
    run: async (job) => await runJob(folder, script, job),
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function runJob(folder: string, script: string, job: Job): Promise<unknown> {
  const child = spawn(process.execPath, [script], {
    cwd: folder,
    stdio: ["pipe", "pipe", "inherit"],
    timeout: 60_000,
  });
  child.stdin.end(JSON.stringify({ ...job, data: job.data?.toBase64() }));
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString("utf8")));
  await once(child, "close");
  const answer = JSON.parse(said) as { result?: unknown; error?: string };
  if (answer.error !== undefined) throw new Error(answer.error);
  return answer.result;
}
