/**
 * Sessions on one token. A keeper session holds the login; others sign, one operation each at a time. Any error spoils everything
 * that was open: sessions are closed, opened anew, and every key is found again by id and compared with its pin. After three failed
 * reconnects the circuit opens; it closes by itself once the device answers again. A PIN is tried once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { PinRefused } from "../core/plugin.ts";
import { HsmError, VaultRefused } from "./errors.ts";
import { findKey, findPublicKey, type PinnedKey } from "./keyring.ts";
import type { PairTemplate } from "./pkcs11-templates.ts";
import { type KeyHandle, Module, type Session, type Slot } from "./pkcs11.ts";
import type { SigningScheme } from "./public-key.ts";

/** What a pool is made of. */
export interface PoolOptions {
  readonly module: string;
  readonly token: { readonly label: string; readonly serial: string };
  readonly pin: string;
  readonly keys: readonly PinnedKey[];
  /** Sessions that may sign at once (asynchronous signing only). */
  readonly sessions: number;
  /** Waits before the reconnects; their number is how often it is tried before the circuit opens. */
  readonly reconnectAfterMs: readonly number[];
  /** How often an open circuit looks whether the device is back. */
  readonly probeEveryMs: number;
  /** How long an asynchronous call into the device may take; 0 for ever. */
  readonly hangLimitMs: number;
  /** Told when one takes longer: only the end of the process gets rid of it. */
  readonly onHang: () => void;
  /** Told when the device refuses, later on, the PIN that it took at first. Nothing signs after that. */
  readonly onPinRefused: (error: PinRefused) => void;
}

/** Whether the pool can sign. */
export type Circuit =
  | { readonly state: "closed" }
  | { readonly state: "open"; readonly reason: string; readonly since: Date };

/** A pool of sessions. Opened by {@link Pool.open}. */
export class Pool implements Disposable {
  readonly #options: PoolOptions;
  readonly #module: Module;
  readonly #closing = new AbortController();
  #slot: Slot | null = null;
  #keeper: Session | null = null;
  #idle: Session[] = [];
  #opened = 0;
  #maxSessions: number;
  #waiting: (() => void)[] = [];
  #handles = new Map<string, KeyHandle>();
  #keys: readonly PinnedKey[];
  #generation = 0;
  #inFlight = 0;
  #recovering: Promise<boolean> | null = null;
  #circuit: Circuit = { state: "closed" };

  /** Loads the module, logs in and finds every key. @throws {VaultRefused} @throws {PinRefused} @throws {HsmError} */
  static open(options: PoolOptions): Pool {
    const pool = new Pool(options);
    try {
      pool.#connect();
    } catch (error) {
      pool[Symbol.dispose]();
      if (error instanceof HsmError && error.reason === "CKR_TOKEN_NOT_PRESENT") {
        const { label, serial } = options.token;
        throw new VaultRefused(
          `there is no token "${label}" with serial number ${serial}; check that it is plugged in and, for SoftHSM, SOFTHSM2_CONF`,
        );
      }
      throw error;
    }
    return pool;
  }

  private constructor(options: PoolOptions) {
    this.#options = options;
    this.#maxSessions = options.sessions;
    this.#keys = options.keys;
    this.#module = new Module(options.module);
  }

  get circuit(): Circuit {
    return this.#circuit;
  }

  /** Counts connections; what failed under an older generation has been recovered from already. */
  get generation(): number {
    return this.#generation;
  }

  /** One attempt on this thread. @throws {HsmError} after which {@link recover} must be called */
  signNow(label: string, scheme: SigningScheme, input: Uint8Array): Uint8Array {
    checkInput(scheme, input);
    const session = this.#idle.pop() ?? this.#openSession();
    try {
      this.#module.beginSigning(session, this.#handle(label), scheme.mechanism);
      const signature = this.#module.signNow(session, input, scheme.signatureBytes);
      this.#idle.push(session);
      return signature;
    } catch (error) {
      this.#discard(session);
      throw error;
    }
  }

  /** One attempt on another thread. @throws {HsmError} after which {@link recover} must be called */
  async signLater(label: string, scheme: SigningScheme, input: Uint8Array): Promise<Uint8Array> {
    checkInput(scheme, input);
    const session = await this.#acquire();
    const generation = this.#generation;
    this.#inFlight += 1;
    const { hangLimitMs, onHang } = this.#options;
    const hanging = hangLimitMs > 0 ? setTimeout(onHang, hangLimitMs) : undefined;
    let good = false;
    try {
      this.#module.beginSigning(session, this.#handle(label), scheme.mechanism);
      const signature = await this.#module.signLater(session, input, scheme.signatureBytes);
      good = true;
      return signature;
    } finally {
      clearTimeout(hanging);
      this.#inFlight -= 1;
      if (generation === this.#generation) {
        if (good) this.#idle.push(session);
        else this.#discard(session);
      }
      this.#waiting.shift()?.();
    }
  }

  /** True if an object on the token has this label. @throws {HsmError} */
  isLabelUsed(label: string): boolean {
    return this.#module.findLabel(this.#connected().keeper, label).length > 0;
  }

  /**
   * The public half of the pair with this CKA_ID, which is generated unless it is there already. Not for the hot path.
   *
   * @throws {VaultRefused} if what is there is not safe. @throws {HsmError}
   */
  generate(pair: PairTemplate): Uint8Array {
    const { slot, keeper } = this.#connected();
    if (this.#module.find(keeper, "private", pair.id).length === 0) {
      const session = this.#module.openSession(slot, "write");
      try {
        this.#module.generate(session, pair);
      } finally {
        this.#module.closeSession(session);
      }
    }
    return findPublicKey(this.#module, keeper, pair);
  }

  /** Takes a key that is on the token, after everything that was promised of it has been read back. @throws as {@link findKey} */
  add(key: PinnedKey): void {
    const { keeper } = this.#connected();
    this.#handles.set(key.label, findKey(this.#module, keeper, key));
    this.#keys = [...this.#keys.filter(({ label }) => label !== key.label), key];
  }

  /** Reconnects after an error under `generation`. False once the circuit is open. */
  async recover(generation: number): Promise<boolean> {
    if (this.#circuit.state === "open") return false;
    if (this.#generation !== generation) return true;
    this.#recovering ??= this.#reconnect().finally(() => {
      this.#recovering = null;
    });
    return await this.#recovering;
  }

  [Symbol.dispose](): void {
    this.#closing.abort();
    // Closing the last session logs out; the module itself may serve others in this process.
    this.#closeAll();
  }

  async #reconnect(): Promise<boolean> {
    let reason = "";
    // One after the other: each is a try after the one before it failed.
    for (const [index, waitMs] of this.#options.reconnectAfterMs.entries()) {
      await this.#pause(waitMs);
      const failed = await this.#tryConnect(index > 0);
      if (failed === null) return true;
      reason = failed;
      if (this.#closing.signal.aborted) break;
    }
    this.#circuit = { state: "open", reason, since: new Date() };
    void this.#probe();
    return false;
  }

  /** Looks for the device until it is back. */
  async #probe(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      await this.#pause(this.#options.probeEveryMs);
      if (this.#closing.signal.aborted) return;
      if ((await this.#tryConnect(true)) === null) {
        this.#circuit = { state: "closed" };
        return;
      }
    }
  }

  /** Null if it worked, else why not. */
  async #tryConnect(reinitialise: boolean): Promise<string | null> {
    // Closing a session under a running operation crashes some modules.
    while (this.#inFlight > 0) await sleep(2);
    this.#closeAll();
    if (reinitialise) {
      this.#module.finalise();
    }
    try {
      this.#module.initialise();
      this.#connect();
      return null;
    } catch (error) {
      this.#closeAll();
      if (error instanceof PinRefused) {
        this.#closing.abort();
        this.#options.onPinRefused(error);
        return error.message;
      }
      if (error instanceof HsmError || error instanceof VaultRefused) return error.message;
      throw error;
    }
  }

  #connect(): void {
    const { token, pin } = this.#options;
    const device = this.#module.device(token.label, token.serial);
    this.#slot = device.slot;
    this.#keeper = this.#module.openSession(device.slot, "read");
    const keeper = this.#keeper;
    this.#module.login(keeper, pin);
    this.#handles = new Map(
      this.#keys.map((key) => [key.label, findKey(this.#module, keeper, key)]),
    );
    this.#generation += 1;
  }

  #closeAll(): void {
    for (const session of this.#idle) this.#module.closeSession(session);
    if (this.#keeper) this.#module.closeSession(this.#keeper);
    this.#idle = [];
    this.#keeper = null;
    this.#opened = 0;
    this.#handles = new Map();
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #acquire(): Promise<Session> {
    for (;;) {
      if (this.#recovering) await this.#recovering;
      const session = this.#idle.pop();
      if (session) return session;
      if (this.#opened < this.#maxSessions) {
        try {
          return this.#openSession();
        } catch (error) {
          const full = error instanceof HsmError && error.reason === "CKR_SESSION_COUNT";
          if (!full || this.#opened === 0) throw error;
          this.#maxSessions = this.#opened;
        }
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #openSession(): Session {
    const session = this.#module.openSession(this.#connected().slot, "read");
    this.#opened += 1;
    return session;
  }

  #connected(): { readonly slot: Slot; readonly keeper: Session } {
    if (this.#slot === null || this.#keeper === null) {
      throw new HsmError("C_OpenSession", "CKR_TOKEN_NOT_PRESENT", 0xe0);
    }
    return { slot: this.#slot, keeper: this.#keeper };
  }

  #discard(session: Session): void {
    this.#module.closeSession(session);
    this.#opened -= 1;
  }

  #handle(label: string): KeyHandle {
    const handle = this.#handles.get(label);
    if (handle === undefined) throw new HsmError("C_FindObjects", "CKR_KEY_HANDLE_INVALID", 0x60);
    return handle;
  }

  async #pause(waitMs: number): Promise<void> {
    await sleep(waitMs, undefined, { signal: this.#closing.signal, ref: false }).catch(
      () => undefined,
    );
  }
}

/** What is signed as it is, is a checkpoint; none is near this long. */
const maxMessageBytes = 4_096;

/** Modules were measured to sign a truncation of what is too long, so nothing of another length gets there. */
function checkInput(scheme: SigningScheme, input: Uint8Array): void {
  if (scheme.hash === null) {
    if (input.length <= maxMessageBytes) return;
    throw new VaultRefused(`a message of ${input.length} bytes was about to be signed`);
  }
  const digestBytes = scheme.hash === "sha256" ? 32 : 48;
  const digestInfoHeaderBytes = scheme.mechanism === "rsa-pkcs1" ? 19 : 0;
  if (input.length !== digestBytes + digestInfoHeaderBytes) {
    throw new VaultRefused(`a digest of ${input.length} bytes was about to be signed`);
  }
}
