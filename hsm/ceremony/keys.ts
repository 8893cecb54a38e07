/** Tokens and keys: initialised, generated, read back; and at the end the keyring and the vault's empty state. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, rm, stat } from "node:fs/promises";
import { encodeBase64, encodeHex } from "../../core/formats/encoding.ts";
import { join } from "node:path";
import { syncPath } from "../../core/durable.ts";
import { formatPem } from "../../core/formats/pem.ts";
import { createState } from "../database.ts";
import { VaultRefused } from "../errors.ts";
import { formatKeyring, parseKeyring, type VaultKey } from "../keyring.ts";
import type { Bench, CeremonyKey } from "./bench.ts";
import type { StepOf } from "./script.ts";

/** 128 bits, as hex digits. */
const pinBytes = 16;

/** The shortest PIN for a new token: 128 bits in base64 without padding. */
export const minPinLength = 22;

/** A new token; the security officer's PIN is used once and forgotten. */
export async function performInitialise(
  bench: Bench,
  step: StepOf<"initialiseToken">,
): Promise<void> {
  const { token, label } = step;
  const pin = await pinOf(bench, step);
  const devices = bench.module(token).devices();
  const there = devices.filter((device) => device.initialised && device.label === label);
  const recorded = bench.transcript.recall("token", { token });
  if (there.length > 0 && !bench.transcript.recall("initialising", { token })) {
    throw new VaultRefused(`there is a token "${label}" already; it is not initialised again`);
  }
  if (there.length === 0) {
    if (recorded) bench.device(token, label, String(recorded["serial"]));
    initialise(bench, step, pin);
  }
  const device = bench.device(token, label, recorded ? String(recorded["serial"]) : undefined);
  bench.tokens.set(token, { label, serial: device.serial, pin });
  const { serial, manufacturer, model, firmware } = device;
  bench.transcript.once("token", { token }, () => ({
    label,
    serial,
    manufacturer,
    model,
    firmware,
  }));
  takeInventory(bench, token, { mustBeEmpty: true });
}

function initialise(bench: Bench, { token, label }: StepOf<"initialiseToken">, pin: string): void {
  const module = bench.module(token);
  const free = module.devices().find(({ initialised }) => !initialised);
  if (!free) {
    throw new VaultRefused(`the PKCS#11 library offers no free slot for the token "${label}"`);
  }
  bench.transcript.once("initialising", { token }, () => ({ label }));
  module.initialiseDevice(free.slot, label, {
    so: randomBytes(pinBytes).toString("hex"),
    user: pin,
  });
}

/** A token that is there already, told apart by label and serial number before its PIN is tried. */
export async function performOpen(bench: Bench, step: StepOf<"openToken">): Promise<void> {
  const { token, label } = step;
  const recorded = bench.transcript.recall("token", { token });
  const expected = recorded
    ? String(recorded["serial"])
    : bench.rehearsal
      ? undefined
      : step.serial;
  const device = bench.device(token, label, expected);
  if (device.pinCountLow) {
    throw new VaultRefused(
      `the last PIN tried on "${label}" was wrong and few tries are left; log in with the right PIN by the maker's tool first`,
    );
  }
  const pin = bench.pins[token] ?? (await readPin(bench, step));
  bench.tokens.set(token, { label, serial: device.serial, pin });
  const { serial, manufacturer, model, firmware } = device;
  bench.transcript.once("token", { token }, () => ({
    label,
    serial,
    manufacturer,
    model,
    firmware,
  }));
  takeInventory(bench, token, { mustBeEmpty: false });
}

function takeInventory(
  bench: Bench,
  token: string,
  { mustBeEmpty }: { mustBeEmpty: boolean },
): void {
  bench.transcript.once("inventory before", { token }, () => {
    const objects = bench.inventory(token);
    if (mustBeEmpty && objects.length > 0) {
      throw new VaultRefused(
        `the new token "${token}" is not empty: it shows ${objects.join("; ")}`,
      );
    }
    return { objects };
  });
}

async function pinOf(bench: Bench, step: StepOf<"initialiseToken">): Promise<string> {
  const given = bench.pins[step.token];
  if (given !== undefined) {
    if (given.length >= minPinLength) return given;
    throw new VaultRefused(
      `the PIN for the new token "${step.token}" has less than ${minPinLength} characters; generate one of 128 bits`,
    );
  }
  if (step.pinFile === undefined) throw noPin(step.token);
  const announced = bench.transcript.recall("writing", { path: step.pinFile });
  if (announced && existsSync(join(bench.home, step.pinFile))) {
    const pin = await readPin(bench, step);
    await bench.outputs.write(step.pinFile, `${pin}\n`, 0o600);
    return pin;
  }
  const pin = randomBytes(pinBytes).toString("hex");
  await bench.outputs.write(step.pinFile, `${pin}\n`, 0o600);
  return pin;
}

async function readPin(
  bench: Bench,
  { token, pinFile }: StepOf<"openToken"> | StepOf<"initialiseToken">,
): Promise<string> {
  if (pinFile === undefined) throw noPin(token);
  const path = join(bench.home, pinFile);
  const content = await readFile(path, "utf8").catch(() => {
    throw new VaultRefused(`there is no PIN at ${path}`);
  });
  if (((await stat(path)).mode & 0o077) !== 0) {
    throw new VaultRefused(`${path} can be read by others; a PIN's file must have mode 0600`);
  }
  return content.trim();
}

function noPin(token: string): VaultRefused {
  return new VaultRefused(`the PIN of the token "${token}" was not given`);
}

/** A key pair that is sensitive and never extractable, which is read back. */
export function performGenerate(bench: Bench, step: StepOf<"generateKey">): void {
  record(bench, bench.generate(step), "key");
}

/** A key that is there already. */
export function performUse(bench: Bench, step: StepOf<"useKey">): void {
  record(bench, bench.use(step), "existing key");
}

function record(bench: Bench, key: CeremonyKey, what: "key" | "existing key"): void {
  const { label, token, algorithm } = key;
  bench.transcript.once(what, { label }, () => ({
    token,
    algorithm,
    id: encodeHex(key.id),
    publicKey: encodeBase64(key.publicKey),
    publicKeySha256: encodeHex(key.publicKeySha256),
    attributes: "sensitive, always sensitive, not extractable, never extractable, local, sign only",
  }));
}

/** The public half of a key as PEM. */
export async function performPublish(bench: Bench, step: StepOf<"publishKey">): Promise<void> {
  await bench.outputs.write(step.out, formatPem("PUBLIC KEY", bench.key(step.key).publicKey));
}

/** The keyring of one token and the empty state of guard and ledger. */
export async function performState(bench: Bench, step: StepOf<"vaultState">): Promise<void> {
  const { label, serial } = bench.token(step.token);
  const keys = [...bench.keys.values()].filter(({ token }) => token === step.token);
  const keyring = formatKeyring({
    version: 1,
    token: { label, serial },
    keys: keys.map((key) => boundKey(bench, key)),
  });
  parseKeyring(keyring);
  await bench.outputs.write(step.keyringOut, keyring);
  const directory = join(bench.home, step.stateOut);
  const path = `${step.stateOut}/vault.db`;
  if (!bench.transcript.recall("vault state", { path })) {
    // Nothing was signed under a state that the transcript only announces: what is there of it is half made.
    if (bench.transcript.recall("making vault state", { path })) {
      for (const end of ["", "-wal", "-shm"])
        await rm(join(bench.home, path + end), { force: true });
    }
    bench.transcript.once("making vault state", { path });
    createState(directory, serial);
    await syncPath(join(directory, "vault.db"));
    await syncPath(directory);
  }
  bench.transcript.once("vault state", { path }, () => ({ tokenSerial: serial }));
}

/** A key with what its step binds it to, as the keyring holds it. */
export function boundKey(bench: Bench, key: CeremonyKey): VaultKey {
  const { label, id, algorithm, publicKey, publicKeySha256, step } = key;
  if (step.step !== "generateKey") {
    throw new VaultRefused(`the key "${label}" was not made in this ceremony`);
  }
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
