/** Keys bound to, retired from and destroyed on a vault that is stopped: its lock is held while that is done. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import { type HeldState, holdState } from "../database.ts";
import { VaultRefused } from "../errors.ts";
import { findKey, formatKeyring, type Keyring, parseKeyring } from "../keyring.ts";
import type { Bench } from "./bench.ts";
import { boundKey } from "./keys.ts";
import type { StepOf } from "./script.ts";

/** Adds a key that this ceremony made to the keyring. */
export async function performBind(bench: Bench, step: StepOf<"bindKey">): Promise<void> {
  const key = boundKey(bench, bench.key(step.key));
  await change(bench, step, (keyring) => {
    const others = keyring.keys.filter(({ label }) => label !== step.key);
    const same = keyring.keys.find(({ label }) => label === step.key);
    if (same && !equalBytes(same.publicKeySha256, key.publicKeySha256)) {
      throw new VaultRefused(`the keyring holds another key "${step.key}" already`);
    }
    return [...others, key];
  });
}

/** Takes a key out of the keyring: the vault signs with it no more. */
export async function performRetire(bench: Bench, step: StepOf<"retireKey">): Promise<void> {
  await change(bench, step, (keyring, { database }) => {
    const key = keyring.keys.find(({ label }) => label === step.key);
    if (key?.origin !== undefined && key.retired !== true && hasSigned(database, step.key)) {
      throw new VaultRefused(
        `"${step.key}" is the key of a log that is not retired: without it the log's trees are nobody's; retire the log first (operate retire-log)`,
      );
    }
    return keyring.keys.filter(({ label }) => label !== step.key);
  });
}

/** True if the guard remembers a tree that the key has signed. */
function hasSigned(database: HeldState["database"], key: string): boolean {
  return database.prepare("SELECT 1 FROM heads WHERE key = ?").get(key) !== undefined;
}

/** Destroys a key that no keyring holds, and looks that it is gone. */
export async function performDestroy(bench: Bench, step: StepOf<"destroyKey">): Promise<void> {
  const key = bench.key(step.key);
  const publicKeySha256 = encodeHex(key.publicKeySha256);
  if (!bench.rehearsal && step.confirmPublicKeySha256 !== publicKeySha256) {
    throw new VaultRefused(`the confirmation names another key than "${step.key}"`);
  }
  using _held = hold(bench, step);
  const keyring = parseKeyring(await readFile(join(bench.home, step.keyring), "utf8"));
  if (keyring.keys.some((one) => equalBytes(one.publicKeySha256, key.publicKeySha256))) {
    throw new VaultRefused(`"${step.key}" is in the keyring; retire it before it is destroyed`);
  }
  const { module, session } = bench.session(key.token);
  const about = { label: key.label, token: key.token, id: encodeHex(key.id) };
  const announced = bench.transcript.recall("destroying", about);
  const there = () =>
    (["private", "public"] as const).flatMap((kind) => module.find(session, kind, key.id));
  if (!announced) findKey(module, session, key);
  bench.transcript.once("destroying", about, () => ({ publicKeySha256 }));
  for (const object of there()) module.destroy(session, object);
  if (there().length > 0) throw new VaultRefused(`"${step.key}" is still on the token`);
  bench.transcript.once("destroyed", about, () => ({ publicKeySha256 }));
}

type KeyringStep = StepOf<"bindKey"> | StepOf<"retireKey"> | StepOf<"destroyKey">;

function hold(bench: Bench, step: KeyringStep): HeldState {
  const { token } = bench.key(step.key);
  return holdState(join(bench.home, step.state), bench.token(token).serial);
}

async function change(
  bench: Bench,
  step: KeyringStep,
  changed: (keyring: Keyring, state: HeldState) => Keyring["keys"],
): Promise<void> {
  // Done before an interruption; since then, other steps may have changed the file again.
  if (bench.transcript.recall("wrote", { path: step.keyring })) return;
  using held = hold(bench, step);
  const from = await readFile(join(bench.home, step.keyring), "utf8");
  const keyring = parseKeyring(from);
  const to = formatKeyring({ ...keyring, keys: changed(keyring, held) });
  parseKeyring(to);
  await bench.outputs.replace(step.keyring, { from, to });
}
