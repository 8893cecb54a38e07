/** The readiness proof: one artifact signed and verified through the public HTTP interfaces, with the CLI that users have. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Refusal, Unproven } from "./refusal.ts";

const run = promisify(execFile);
const cli = new URL("./chancery.ts", import.meta.url).pathname;

/** Who signs the proof: a name nobody can have, so that it stands out in the log. */
export const proofIdentity = "readiness-proof@chancery.invalid";

/**
 * Signs and verifies a fresh artifact.
 *
 * @returns milliseconds it took.
 * @throws {Unproven} if it was not signed, and {Refusal} if what was signed does not verify, with what the CLI said.
 */
export async function proveReadiness(home: string, oidcIssuer: string): Promise<number> {
  const startedAt = performance.now();
  const folder = await mkdtemp(join(home, "run", "proof-"));
  const artifact = join(folder, "artifact");
  const bundle = join(folder, "artifact.sigstore.json");
  try {
    await writeFile(artifact, `chancery readiness proof ${crypto.randomUUID()}\n`);
    await chancery(home, ["sign", artifact, "--demo-email", proofIdentity, "--bundle", bundle]);
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
  return performance.now() - startedAt;
}

async function chancery(home: string, args: readonly string[]): Promise<void> {
  try {
    const env = { PATH: process.env["PATH"] ?? "", CHANCERY_HOME: home };
    await run(process.execPath, [cli, ...args], { env, timeout: 60_000 });
  } catch (failure) {
    const said = (failure as { stderr?: string }).stderr?.trim() ?? String(failure);
    const Reason = args[0] === "sign" ? Unproven : Refusal;
    throw new Reason(`the readiness proof failed at "chancery ${args[0]}": ${said}`);
  }
}
