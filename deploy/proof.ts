/** The readiness proof: one artifact signed and verified through the public HTTP interfaces, with the CLI that users have. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Reason } from "../config/commands.ts";
import { durableWrite } from "../core/durable.ts";
import { Refusal, Unproven } from "./refusal.ts";

const run = promisify(execFile);
const cli = new URL("./chancery.ts", import.meta.url).pathname;
const withinMs = 60_000;

/** What `chancery sign` says where an operator wants that nobody signs so. Nothing else is let through. */
const willed: ReadonlySet<unknown> = new Set<Reason>([
  "policy-refused",
  "sign-in-refused",
  "log-frozen",
  "scts-detached",
]);

/** Made once a proof has succeeded: a home without it has to be proved. */
const mark = "proved.json";

/** Who signs the proof: a name nobody can have, so that it stands out in the log. */
export const proofIdentity = "readiness-proof@chancery.invalid";

/** True if a proof of this home has ever succeeded. */
export function wasProved(home: string): boolean {
  return existsSync(join(home, mark));
}

/**
 * Signs and verifies a fresh artifact, and marks the home as one that was proved.
 *
 * @returns milliseconds it took.
 * @throws {Unproven} if the service refused as an operator may want it, and {Refusal} for all else, with what the CLI said.
 */
export async function proveReadiness(home: string, oidcIssuer: string): Promise<number> {
  const startedAt = performance.now();
  const folder = await mkdtemp(join(home, "run", "proof-"));
  const artifact = join(folder, "artifact");
  const bundle = join(folder, "artifact.sigstore.json");
  try {
    await writeFile(artifact, `chancery readiness proof ${crypto.randomUUID()}\n`);
    await chancery(home, [
      "sign",
      artifact,
      "--demo-email",
      proofIdentity,
      "--bundle",
      bundle,
      "--json",
    ]);
    const identity = [
      "--certificate-identity",
      proofIdentity,
      "--certificate-oidc-issuer",
      oidcIssuer,
    ];
    await chancery(home, ["verify", artifact, "--bundle", bundle, ...identity]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (!wasProved(home)) {
    const provedAt = new Date().toISOString();
    await durableWrite(join(home, mark), `${JSON.stringify({ provedAt })}\n`, 0o600);
  }
  return performance.now() - startedAt;
}

async function chancery(home: string, args: readonly string[]): Promise<void> {
  try {
    const env = { PATH: process.env["PATH"] ?? "", CHANCERY_HOME: home };
    await run(process.execPath, [cli, ...args], { env, timeout: withinMs });
  } catch (failure) {
    throw failureOf(args[0] ?? "", failure as Ended);
  }
}

/** How a command of the CLI ended that did not end well. */
export interface Ended {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly message?: string;
  /** True if it was ended because it took too long. */
  readonly killed?: boolean;
}

/** What a command's failure means for a start. */
export function failureOf(command: string, ended: Ended): Refusal {
  const { stdout = "", stderr = "", killed = false } = ended;
  const late = killed
    ? `it did not end within ${withinMs / 1000} s`
    : (ended.message ?? "nothing was said");
  const said = `the readiness proof failed at "chancery ${command}": ${stderr.trim() || late}`;
  const isWilled = command === "sign" && !killed && willed.has(reasonIn(stdout));
  return isWilled ? new Unproven(said) : new Refusal(said);
}

function reasonIn(stdout: string): unknown {
  try {
    return (JSON.parse(stdout) as { readonly reason?: unknown } | null)?.reason;
  } catch {
    return undefined;
  }
}
