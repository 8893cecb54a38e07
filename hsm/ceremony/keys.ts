/** Tokens and keys: initialised, generated, read back; and at the end the keyring and the vault's empty state. */
import { randomBytes } from "node:crypto";
import { encodeBase64, encodeHex } from "../../core/formats/encoding.ts";
import { join } from "node:path";
import { syncPath } from "../../core/durable.ts";
import { createState } from "../database.ts";
import { VaultRefused } from "../errors.ts";
import { formatKeyring, parseKeyring, type VaultKey } from "../keyring.ts";
import type { Bench, CeremonyKey } from "./bench.ts";
import type { StepOf } from "./script.ts";

/** 128 bits, as hex digits. */
const pinBytes = 16;

/** A new token with a random PIN; the security officer's PIN is used once and forgotten. */
export async function performInitialise(
  bench: Bench,
  step: StepOf<"initialiseToken">,
): Promise<void> {
  const module = bench.module(step.token);
  const devices = module.devices();
  if (devices.some(({ label, initialised }) => initialised && label === step.label)) {
    throw new VaultRefused(`there is a token "${step.label}" already; it is not initialised again`);
  }
  const free = devices.find(({ initialised }) => !initialised);
  if (!free) {
    throw new VaultRefused(`the PKCS#11 library offers no free slot for the token "${step.label}"`);
  }
  const pin = randomBytes(pinBytes).toString("hex");
  await bench.write(step.pinFile, `${pin}\n`, 0o600);
  const pins = { so: randomBytes(pinBytes).toString("hex"), user: pin };
  const device = module.initialiseDevice(free.slot, step.label, pins);
  bench.tokens.set(step.token, { label: step.label, serial: device.serial, pin });
  const { label, serial, manufacturer, model, firmware } = device;
  bench.transcript.write("token", { label, serial, manufacturer, model, firmware });
}

/** A key pair that is sensitive and never extractable, which is read back. */
export function performGenerate(bench: Bench, step: StepOf<"generateKey">): void {
  const key = bench.generate(step);
  bench.transcript.write("key", {
    label: key.label,
    token: key.token,
    algorithm: key.algorithm,
    id: encodeHex(key.id),
    publicKey: encodeBase64(key.publicKey),
    publicKeySha256: encodeHex(key.publicKeySha256),
    attributes: "sensitive, always sensitive, not extractable, never extractable, local, sign only",
  });
}

/** The keyring of one token and the empty state of guard and ledger. */
export async function performState(bench: Bench, step: StepOf<"vaultState">): Promise<void> {
  const { label, serial } = bench.token(step.token);
  const keys = [...bench.keys.values()].filter(({ token }) => token === step.token);
  const keyring = formatKeyring({
    version: 1,
    token: { label, serial },
    keys: keys.map((key) => bound(bench, key)),
  });
  parseKeyring(keyring);
  await bench.write(step.keyringOut, keyring);
  const directory = join(bench.home, step.stateOut);
  createState(directory, serial);
  await syncPath(join(directory, "vault.db"));
  await syncPath(directory);
  bench.transcript.write("vault state", { path: `${step.stateOut}/vault.db`, tokenSerial: serial });
}

function bound(bench: Bench, key: CeremonyKey): VaultKey {
  const { label, id, algorithm, publicKey, publicKeySha256, step } = key;
  const { purposes, askers, origin, noteName, roles, issuer, policy } = step;
  if (!purposes || !askers) {
    throw new VaultRefused(`the key "${label}" is online but has no purposes or no askers`);
  }
  return {
    label,
    id,
    algorithm,
    publicKey,
    publicKeySha256,
    purposes,
    askers,
    ...(origin !== undefined && { origin }),
    ...(noteName !== undefined && { noteName }),
    ...(roles && { roles }),
    ...(issuer !== undefined && { issuer }),
    ...(policy !== undefined && { policy }),
    ...(purposes.some((purpose) => certified.includes(purpose)) && { chain: bench.chain(label) }),
  };
}

/** Purposes for which a key needs a certificate of its own. */
const certified: readonly string[] = ["certificate", "timestamp"];
