/**
 * The throw-away twin on which a ceremony is rehearsed: an empty home with SoftHSM tokens of its own, and for every token, key and
 * file that the script expects to find, a stand-in.
 */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { formatPem } from "../../core/formats/pem.ts";
import { createState } from "../database.ts";
import { formatKeyring, type VaultKey } from "../keyring.ts";
import { rootCertificateOf } from "./authorities.ts";
import type { Bench } from "./bench.ts";
import type { Script, StepOf } from "./script.ts";
import { outputsOf } from "./steps.ts";
import { standInRoot } from "./tuf-root.ts";

/** A twin's home. */
export interface Twin extends AsyncDisposable {
  readonly home: string;
  /** PINs for tokens that no file of the script holds the PIN of. */
  readonly pins: { readonly [token: string]: string };
}

/** Makes the empty home; disposal removes it. */
export async function makeTwin(script: Script): Promise<Twin> {
  const home = await mkdtemp(join(tmpdir(), "chancery-rehearsal-"));
  const pins: { [token: string]: string } = {};
  for (const step of script.steps) {
    if (step.step !== "initialiseToken" && step.step !== "openToken") continue;
    const tokens = join(home, "tokens", step.token);
    await mkdir(tokens, { recursive: true });
    const lines = [
      `directories.tokendir = ${tokens}`,
      "objectstore.backend = file",
      "log.level = ERROR",
      "",
    ];
    await writeFile(join(home, `softhsm2-${step.token}.conf`), lines.join("\n"));
    if (step.step === "openToken" || step.pinFile === undefined) {
      pins[step.token] = randomBytes(16).toString("hex");
    }
  }
  return {
    home,
    pins,
    [Symbol.asyncDispose]: async () => await rm(home, { recursive: true, force: true }),
  };
}

/** Puts stand-ins in place, on a bench whose transcript is thrown away. */
export async function furnishTwin(bench: Bench, script: Script): Promise<void> {
  for (const step of script.steps) {
    if (step.step === "openToken") openStandIn(bench, step);
    if (step.step === "useKey") bench.generate({ ...standIn(step) });
    if (step.step === "useCertificate") {
      const certificate = rootCertificateOf(bench, step.key);
      await place(bench, step.file, formatPem("CERTIFICATE", certificate));
    }
    if (step.step === "tufRoot" && !madeBy(script, step.before.file)) {
      await place(bench, step.before.file, standInRoot(bench, step));
    }
    if (step.step === "tufRepository") {
      for (const { from } of step.targets) {
        const isMade = "file" in from && !madeBy(script, from.file);
        if ("file" in from && isMade) await place(bench, from.file, "stand-in\n");
      }
    }
  }
  const change = script.steps.find(({ step }) =>
    ["bindKey", "retireKey", "destroyKey"].includes(step),
  );
  if (change && "keyring" in change) await furnishVault(bench, script, change);
}

function openStandIn(bench: Bench, { token, label }: StepOf<"openToken">): void {
  const module = bench.module(token);
  const pin = bench.pins[token] ?? "";
  const free = module.devices().find(({ initialised }) => !initialised);
  if (!free) throw new Error("SoftHSM offers no free slot");
  const { serial } = module.initialiseDevice(free.slot, label, { so: pin, user: pin });
  bench.tokens.set(token, { label, serial, pin });
}

function standIn({ token, label, algorithm }: StepOf<"useKey">): StepOf<"generateKey"> {
  return { step: "generateKey", token, label, algorithm };
}

/** A keyring of the stand-ins that are retired, and one key more, for a keyring is never empty. */
async function furnishVault(
  bench: Bench,
  { steps }: Script,
  { key, keyring, state }: { key: string; keyring: string; state: string },
): Promise<void> {
  const about = steps.find((step) => "label" in step && "token" in step && step.label === key);
  if (!about || !("token" in about)) return;
  const { token } = about;
  const other = bench.generate({
    step: "generateKey",
    token,
    label: "another",
    algorithm: "ecdsa-p256",
  });
  const retired = steps.flatMap((step) => (step.step === "retireKey" ? [bench.key(step.key)] : []));
  const keys = [other, ...retired].map(
    ({ label, id, algorithm, publicKey, publicKeySha256 }): VaultKey => ({
      label,
      id,
      algorithm,
      publicKey,
      publicKeySha256,
      purposes: ["checkpoint"],
      askers: ["log"],
    }),
  );
  const { label, serial } = bench.token(token);
  await place(bench, keyring, formatKeyring({ version: 1, token: { label, serial }, keys }));
  await mkdir(join(bench.home, state), { recursive: true });
  createState(join(bench.home, state), serial);
}

async function place(bench: Bench, path: string, content: string): Promise<void> {
  await mkdir(dirname(join(bench.home, path)), { recursive: true });
  await writeFile(join(bench.home, path), content);
}

function madeBy({ steps }: Script, path: string): boolean {
  return steps.some((step) => outputsOf(step).includes(path));
}
