/** The vault as a plugin: takes the state's lock, logs in once, finds every key again, and answers. */
import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import type { Journal } from "../core/journal.ts";
import type { Answers } from "../core/plugin.ts";
import type { Out } from "../events/contract.ts";
import { requireAgreement } from "./agreement.ts";
import { VaultRefused } from "./errors.ts";
import { type HeldState, holdState } from "./database.ts";
import { Guard } from "./guard.ts";
import { KeyOperations } from "./key-operations.ts";
import { type Keyring, readKeyring } from "./keyring.ts";
import { Ledger } from "./ledger.ts";
import { hsm } from "./manifest.ts";
import { Pool } from "./pool.ts";
import { Vault } from "./vault.ts";
import { watchForHang } from "./watchdog.ts";

const reconnectAfterMs = [20, 100, 400];
const probeEveryMs = 1_000;

export default hsm.implement(async ({ config, home, pin, clock, journal, seals, draining }) => {
  const path = join(home(), config.keyring);
  const keyring = await readKeyring(path);
  if (keyring.token.label !== config.tokenLabel) {
    throw new VaultRefused(
      `the keyring is for the token "${keyring.token.label}", the configuration names "${config.tokenLabel}"`,
    );
  }
  const { serial } = keyring.token;
  const stack = new AsyncDisposableStack();
  try {
    // The lock first: a second vault does not even log in.
    const state = stack.use(holdState(join(home(), "vault"), serial));
    const { database } = state;
    requireAgreement(database);
    const pool = stack.use(openPool(keyring, await pin(), { config, journal }));
    const guard = new Guard(database);
    const ledger = await openLedger(state, { guard, serial, clock, journal, config });
    const limits = {
      ...config,
      verifySeal: (statement: Uint8Array, mac: Uint8Array) =>
        seals.verify("identity", statement, mac),
    };
    const { signing } = config;
    const parts = {
      keyring,
      pool,
      ledger,
      guard,
      clock,
      journal,
      limits,
      signing,
      onBroken: endProcess,
    };
    const vault = stack.use(new Vault(parts));
    draining.addEventListener("abort", () => vault.held.close(), { once: true });
    await vault.selfTest();
    const operations = new KeyOperations({
      path,
      tokenFiles: join(home(), "tokens", "online"),
      keyring,
      database,
      ledger,
      guard,
      pool,
      vault,
      clock,
      journal,
    });
    if (config.hangLimitMs > 0) stack.use(watchForHang(config.hangLimitMs));
    return {
      handlers: handlersOf(vault, operations),
      health: () => vault.health(),
      [Symbol.asyncDispose]: async () => await stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
});

/** The ledger, in which what the vault before this one left open is called unknown. */
async function openLedger(
  { database, sync }: HeldState,
  {
    guard,
    serial,
    clock,
    journal,
    config,
  }: {
    readonly guard: Guard;
    readonly serial: string;
    readonly clock: Clock;
    readonly journal: Journal;
    readonly config: Out<typeof hsm.manifest.config>;
  },
): Promise<Ledger> {
  const watched = watchedSync(sync, { limitMs: config.hangLimitMs, journal });
  const ledger = new Ledger({ database, sync: watched }, clock, (outcomes) =>
    guard.settle(outcomes),
  );
  const unknown = await ledger.begin(serial);
  if (unknown.length > 0) {
    journal.warn("unknown-signed", { rows: unknown.slice(0, 100), count: unknown.length });
  }
  return ledger;
}

/** A call that never returns does not stop this thread, which would go on taking what it cannot record: it ends the process. */
function watchedSync(
  sync: () => Promise<void>,
  { limitMs, journal }: { readonly limitMs: number; readonly journal: Journal },
): () => Promise<void> {
  const onHang = (): void => {
    journal.error("disk-hangs", { limitMs });
    process.kill(process.pid, "SIGKILL");
  };
  return async () => {
    const hanging = limitMs > 0 ? setTimeout(onHang, limitMs) : undefined;
    try {
      await sync();
    } finally {
      clearTimeout(hanging);
    }
  };
}

function openPool(
  { token, keys }: Keyring,
  pin: string,
  { config, journal }: { config: Out<typeof hsm.manifest.config>; journal: Journal },
): Pool {
  const { module, sessions, hangLimitMs } = config;
  return Pool.open({
    module,
    token,
    pin,
    keys,
    sessions,
    reconnectAfterMs,
    probeEveryMs,
    hangLimitMs,
    onHang: () => {
      journal.error("hsm-hangs", { limitMs: hangLimitMs });
      // Leaving in order would wait for the very thread that hangs.
      process.kill(process.pid, "SIGKILL");
    },
    onPinRefused: endProcess,
  });
}

function handlersOf(vault: Vault, operations: KeyOperations): Answers<typeof hsm.manifest.offers> {
  return {
    sign: async (question, envelope) => await vault.sign(question, envelope),
    async completeCertificate(question, envelope) {
      const { signatures, signed } = await vault.held.complete(question, envelope);
      const [signature] = signatures;
      if (signature === undefined || signed === undefined) {
        throw new TypeError("a certificate has one signature and a list of SCTs");
      }
      return { signature, scts: signed };
    },
    async describeKey({ key: label }) {
      const { algorithm, publicKey, purposes, origin, noteName, policy, chain } = vault.key(label);
      return {
        algorithm,
        publicKey,
        purposes,
        ...(origin !== undefined && { origin }),
        ...(noteName !== undefined && { noteName }),
        ...(policy !== undefined && { policy }),
        ...(chain && { chain }),
      };
    },
    generateKey: async (question, envelope) => await operations.generateKey(question, envelope),
    bindChain: async (question, envelope) => await operations.bindChain(question, envelope),
    certifySelf: async (question, envelope) => await operations.certifySelf(question, envelope),
    async listOwnRoots() {
      await Promise.resolve();
      return { certificates: [...operations.ownRoots()] };
    },
    retireKey: async (question, envelope) => await operations.retireKey(question, envelope),
    async lastSigned({ key }) {
      const { size, root } = vault.lastSigned(key);
      return { size, root };
    },
  };
}

/** Outside of any handler, so that it ends the process: the kernel knows the exit code for it. */
function endProcess(error: Error): void {
  setImmediate(() => {
    throw error;
  });
}
