/** A vault on a throw-away SoftHSM token: the plugin itself, its keys generated on the token, its home in a temporary folder. */
import { hash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Entry } from "../../core/kernel.ts";
import type { Purpose } from "../../events/hsm.ts";
import { createState } from "../../hsm/database.ts";
import { findPublicKey, formatKeyring, type Keyring, type VaultKey } from "../../hsm/keyring.ts";
import { hsm } from "../../hsm/manifest.ts";
import { type KeyAlgorithm, Module } from "../../hsm/pkcs11.ts";

/** A key to be generated. */
export interface SoftKey {
  readonly label: string;
  /** P-256 unless said; RSA takes long. */
  readonly algorithm?: KeyAlgorithm;
  readonly purposes: readonly Purpose[];
  readonly askers: readonly string[];
  readonly origin?: string;
  readonly noteName?: string;
  readonly roles?: readonly ("root" | "targets" | "snapshot" | "timestamp")[];
  readonly issuer?: string;
  readonly policy?: string;
  /** Certificates for a key that issues: it is given the new public key. */
  readonly chain?: (publicKey: Uint8Array) => readonly Uint8Array[];
}

/** What `bootForTest` needs to run the vault. */
export interface SoftVault {
  readonly entry: Entry;
  /** The section of the configuration. */
  readonly config: { readonly [name: string]: unknown };
  readonly home: string;
  readonly pin: () => Promise<string>;
  readonly pinText: string;
  readonly keyring: Keyring;
  /** SubjectPublicKeyInfo by label. */
  readonly keys: { readonly [label: string]: Uint8Array };
  /** Directory of SoftHSM's token files. */
  readonly tokens: string;
  /** SOFTHSM2_CONF of the token, for other processes. */
  readonly conf: string;
  readonly dispose: () => void;
}

/** SoftHSM's library, where Debian has it. */
export const softHsmModule =
  ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"].find(
    (path) => existsSync(path),
  ) ?? "libsofthsm2.so";

/** The keys of a whole demo, but for the RSA one. */
export const demoKeys: readonly SoftKey[] = [
  {
    label: "ct-log",
    purposes: ["scts", "treeHead", "checkpoint"],
    askers: ["log"],
    origin: "localhost",
    noteName: "localhost",
  },
  {
    label: "rekor-v1-log",
    purposes: ["checkpoint", "signedEntryTimestamps"],
    askers: ["log"],
    origin: "localhost - 1193050959916656506",
    noteName: "localhost",
  },
  {
    label: "rekor-v2-log",
    purposes: ["checkpoint"],
    askers: ["log"],
    origin: "localhost",
    noteName: "localhost",
  },
  { label: "tuf-snapshot", purposes: ["tufRole"], askers: ["trust"], roles: ["snapshot"] },
  { label: "tuf-timestamp", purposes: ["tufRole"], askers: ["trust"], roles: ["timestamp"] },
];

/**
 * Makes a token and a vault's home on it. All vaults of one test process share one folder of tokens, because SoftHSM reads its
 * configuration once a process; each has a token of its own.
 */
export async function softVault({
  keys = demoKeys,
  module: path = softHsmModule,
  config = {},
}: {
  readonly keys?: readonly SoftKey[];
  readonly module?: string;
  readonly config?: { readonly [name: string]: unknown };
} = {}): Promise<SoftVault> {
  await Promise.resolve();
  const { conf, tokens } = softHsmOfThisProcess();
  const home = mkdtempSync(join(tmpdir(), "chancery-vault-"));
  mkdirSync(join(home, "vault"), { mode: 0o700 });
  const pinText = randomBytes(16).toString("hex");
  const label = `test ${randomBytes(6).toString("hex")}`;
  const keyring = makeToken(path, { label, pin: pinText, keys });
  writeFileSync(join(home, "vault", "keyring.json"), formatKeyring(keyring));
  createState(join(home, "vault"), keyring.token.serial);
  return {
    entry: { manifest: hsm.manifest, load: async () => await import("../../hsm/plugin.ts") },
    // No watchdog: a debugger or a slow machine must not kill the test's process.
    config: { module: path, tokenLabel: label, hangLimitMs: 0, ...config },
    home,
    pin: async () => await Promise.resolve(pinText),
    pinText,
    keyring,
    keys: Object.fromEntries(keyring.keys.map((key) => [key.label, key.publicKey])),
    tokens,
    conf,
    dispose: () => rmSync(home, { recursive: true, force: true }),
  };
}

function makeToken(
  path: string,
  { label, pin, keys }: { label: string; pin: string; keys: readonly SoftKey[] },
): Keyring {
  const module = new Module(path);
  const free = module.devices().find((device) => !device.initialised);
  if (!free) throw new Error("SoftHSM offers no free slot");
  const device = module.initialiseDevice(free.slot, label, { so: pin, user: pin });
  const session = module.openSession(device.slot, "write");
  try {
    module.login(session, pin);
    const made = keys.map((key): VaultKey => {
      const id = randomBytes(16);
      const algorithm = key.algorithm ?? "ecdsa-p256";
      module.generate(session, { algorithm, label: key.label, id });
      const publicKey = findPublicKey(module, session, { label: key.label, id });
      const { chain, purposes, askers, roles, ...bound } = key;
      return {
        ...bound,
        id,
        algorithm,
        publicKey,
        publicKeySha256: hash("sha256", publicKey, "buffer"),
        purposes: [...purposes],
        askers: [...askers],
        ...(roles && { roles: [...roles] }),
        ...(chain && { chain: [...chain(publicKey)] }),
      };
    });
    return { version: 1, token: { label, serial: device.serial }, keys: made };
  } finally {
    module.closeSession(session);
  }
}

function softHsmOfThisProcess(): { conf: string; tokens: string } {
  const known = process.env["SOFTHSM2_CONF"];
  if (known?.includes("chancery-softhsm-")) {
    return { conf: known, tokens: join(known, "..", "tokens") };
  }
  const directory = mkdtempSync(join(tmpdir(), "chancery-softhsm-"));
  const tokens = join(directory, "tokens");
  const conf = join(directory, "softhsm2.conf");
  mkdirSync(tokens);
  writeFileSync(
    conf,
    `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  );
  process.env["SOFTHSM2_CONF"] = conf;
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  return { conf, tokens };
}
