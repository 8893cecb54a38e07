/**
 * What the steps of a ceremony share: the tokens, of which one is open at a time, the keys and certificates made so far, and files
 * that are written once and durably.
 */
import { hash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, readdir } from "node:fs/promises";
import { join } from "node:path";
import { syncPath } from "../../core/durable.ts";
import {
  decodeBase64,
  decodeHex,
  encodeBase64,
  encodeHex,
  equalBytes,
} from "../../core/formats/encoding.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { HsmError, VaultRefused } from "../errors.ts";
import { findKey, findPublicKey, type PinnedKey } from "../keyring.ts";
import { type Device, type KeyAlgorithm, Module, type Session } from "../pkcs11.ts";
import { releasedForm, schemes, signingInput, verifier } from "../public-key.ts";
import { inventoryOf, type Inventory } from "./inventory.ts";
import { Outputs } from "./outputs.ts";
import type { StepOf, TokenName } from "./script.ts";
import type { Transcript } from "./transcript.ts";

/** A token of the ceremony. */
export interface CeremonyToken {
  readonly label: string;
  readonly serial: string;
  readonly pin: string;
}

/** A key that the ceremony made. */
export interface CeremonyKey extends PinnedKey {
  readonly token: TokenName;
  readonly algorithm: KeyAlgorithm;
  readonly publicKey: Uint8Array;
  readonly step: StepOf<"generateKey"> | StepOf<"useKey">;
}

/** What a ceremony works with. */
export interface BenchOptions {
  readonly home: string;
  readonly module: string;
  readonly transcript: Transcript;
  readonly startedAt: Date;
  /** PINs of tokens, by the script's names for them, that no file holds. */
  readonly pins: { readonly [token: string]: string };
  /** Hears every PKCS#11 call. */
  readonly trace?: ((call: string) => void) | undefined;
  /** True on a throw-away twin, whose keys are others than the script pins. */
  readonly rehearsal: boolean;
}

/** The state of a ceremony under way. */
export class Bench implements Disposable {
  readonly home: string;
  readonly transcript: Transcript;
  readonly outputs: Outputs;
  /** When the ceremony began, in whole seconds: what it makes is valid from then on. */
  readonly startedAt: Date;
  readonly tokens = new Map<TokenName, CeremonyToken>();
  readonly keys = new Map<string, CeremonyKey>();
  /** Certificates by key label, DER. */
  readonly certificates = new Map<string, Uint8Array>();
  readonly rehearsal: boolean;
  readonly pins: BenchOptions["pins"];
  readonly #modulePath: string;
  readonly #trace: BenchOptions["trace"];
  #module: Module | null = null;
  #open: { readonly name: TokenName; readonly session: Session | null } | null = null;

  constructor(options: BenchOptions) {
    this.home = options.home;
    this.transcript = options.transcript;
    this.outputs = new Outputs(options.home, options.transcript);
    this.startedAt = options.startedAt;
    this.pins = options.pins;
    this.rehearsal = options.rehearsal;
    this.#modulePath = options.module;
    this.#trace = options.trace;
  }

  /** The module with this token's configuration in effect, and nobody logged in. */
  module(name: TokenName): Module {
    if (this.#module && this.#open?.name === name) return this.#module;
    this.#close();
    const conf = join(this.home, `softhsm2-${name}.conf`);
    // SoftHSM reads it whenever it is initialised; other modules do not look.
    if (existsSync(conf)) process.env["SOFTHSM2_CONF"] = conf;
    if (this.#module) this.#module.initialise();
    this.#module ??= new Module(this.#modulePath, this.#trace);
    this.#open = { name, session: null };
    return this.#module;
  }

  /** The module and a session that is logged in. */
  session(name: TokenName): { readonly module: Module; readonly session: Session } {
    const module = this.module(name);
    const token = this.token(name);
    const open = this.#open?.session;
    if (open) return { module, session: open };
    const { slot } = this.device(name, token.label, token.serial);
    const session = module.openSession(slot, "write");
    this.#open = { name, session };
    module.login(session, token.pin);
    return { module, session };
  }

  token(name: TokenName): CeremonyToken {
    const token = this.tokens.get(name);
    if (!token) throw new VaultRefused(`the token "${name}" is used before it is initialised`);
    return token;
  }

  key(label: string): CeremonyKey {
    const key = this.keys.get(label);
    if (!key) throw new VaultRefused(`the key "${label}" is used before it is generated`);
    return key;
  }

  certificate(label: string): Uint8Array {
    const certificate = this.certificates.get(label);
    if (!certificate) throw new VaultRefused(`"${label}" is used before it has a certificate`);
    return certificate;
  }

  /** The key's own certificate first, its root last. */
  chain(label: string): Uint8Array[] {
    const chain = [this.certificate(label)];
    for (;;) {
      const last = parseCertificate(chain.at(-1) ?? new Uint8Array());
      if (equalBytes(last.issuer, last.subject)) return chain;
      const above = [...this.certificates.values()].find((one) =>
        equalBytes(parseCertificate(one).subject, last.issuer),
      );
      if (!above) throw new VaultRefused(`the certificate above "${label}" is not known`);
      chain.push(above);
    }
  }

  /** The token with this label, and this serial number if one is known. @throws {VaultRefused} if it is not the one in the slot */
  device(name: TokenName, label: string, serial?: string): Device {
    try {
      return this.module(name).device(label, serial);
    } catch (error) {
      if (!(error instanceof HsmError) || error.reason !== "CKR_TOKEN_NOT_PRESENT") throw error;
      const others = this.module(name)
        .devices()
        .filter((other) => other.label === label);
      const found = others.map((other) => other.serial).join(", ");
      throw new VaultRefused(
        found === "" || serial === undefined
          ? `there is ${found === "" ? "no token" : "more than one token"} "${label}"; insert the right one and go on`
          : `the token "${label}" is another one: its serial number is ${found}, expected ${serial}`,
      );
    }
  }

  /** Every object that the token shows to its user. */
  inventory(name: TokenName): Inventory {
    const { module, session } = this.session(name);
    return inventoryOf(module.objects(session));
  }

  /** Generates a pair, or finds the one that was announced before the ceremony was interrupted; reads everything back. */
  generate(step: StepOf<"generateKey">): CeremonyKey {
    const { module, session } = this.session(step.token);
    const { label, algorithm, token } = step;
    if (this.keys.has(label)) throw new VaultRefused(`the label "${label}" is in use already`);
    const announced = this.transcript.recall("generating", { label });
    if (!announced && module.findLabel(session, label).length > 0) {
      throw new VaultRefused(`the label "${label}" is in use already on the token "${token}"`);
    }
    const made = () => ({ token, algorithm, id: encodeHex(randomBytes(16)) });
    const id = decodeHex(String(this.transcript.once("generating", { label }, made)["id"]));
    const recorded = this.transcript.recall("key", { label });
    const there = module.find(session, "private", id).length > 0;
    if (recorded && !there) {
      throw new VaultRefused(
        `the transcript says that "${label}" was made, but the token "${token}" does not hold it: this is another token, or it was changed`,
      );
    }
    // Killed between this call and the line "key", the next run finds the pair by the identifier that was announced.
    if (!there) module.generate(session, { algorithm, label, id });
    const key = this.#adopt(step, id);
    const publicKeySha256 = encodeHex(key.publicKeySha256);
    if (recorded && recorded["publicKeySha256"] !== publicKeySha256) {
      throw new VaultRefused(`the token's "${label}" is not the key that the transcript tells of`);
    }
    return key;
  }

  /** Takes a key that the token holds already, if it is the one that the script pins. */
  use(step: StepOf<"useKey">): CeremonyKey {
    const { label, token } = step;
    if (this.keys.has(label)) throw new VaultRefused(`the label "${label}" is in use already`);
    const gone = this.#destroyed(step);
    if (gone) return gone;
    const { module, session } = this.session(token);
    const labelled = module.objects(session).filter((object) => object.label === label);
    const [one, ...more] = labelled.filter(({ kind }) => kind === "private key");
    if (!one || more.length > 0) {
      throw new VaultRefused(
        `the token "${token}" holds ${one ? "more than one" : "no"} private key "${label}"; nothing is generated in its place`,
      );
    }
    const key = this.#adopt(step, one.id);
    const sha256 = encodeHex(key.publicKeySha256);
    if (!this.rehearsal && sha256 !== step.publicKeySha256) {
      throw new VaultRefused(
        `the token's "${label}" is another key than the script pins: its public half has SHA-256 ${sha256}`,
      );
    }
    return key;
  }

  /** A key that a later step of this ceremony has begun to destroy, as the transcript tells of it. */
  #destroyed(step: StepOf<"useKey">): CeremonyKey | null {
    const { label, token, algorithm } = step;
    const recorded = this.transcript.recall("existing key", { label });
    const isGone = this.transcript.lines.some(
      ({ what, detail }) => what === "destroying" && detail["label"] === label,
    );
    if (!isGone || !recorded) return null;
    const id = decodeHex(String(recorded["id"]));
    const publicKey = decodeBase64(String(recorded["publicKey"]));
    const publicKeySha256 = hash("sha256", publicKey, "buffer");
    const key = { label, id, algorithm, publicKey, publicKeySha256, token, step };
    this.keys.set(label, key);
    return key;
  }

  #adopt(step: StepOf<"generateKey"> | StepOf<"useKey">, id: Uint8Array): CeremonyKey {
    const { label, algorithm, token } = step;
    const { module, session } = this.session(token);
    const publicKey = findPublicKey(module, session, { label, id });
    const publicKeySha256 = hash("sha256", publicKey, "buffer");
    const key = { label, id, algorithm, publicKey, publicKeySha256, token, step };
    findKey(module, session, key);
    this.keys.set(label, key);
    return key;
  }

  /** Signs, verifies, and says both in the transcript; a signature that stands there already is given again. */
  sign(label: string, what: string, message: Uint8Array): Uint8Array {
    const key = this.key(label);
    const scheme = schemes[key.algorithm];
    const named = scheme.hash ?? "sha256";
    const digest = hash(named, message, "hex");
    const recorded = this.transcript.recall("signed", { key: label, what });
    const again = this.transcript.recall("signing", { key: label, what });
    if (again && again["digest"] !== digest) {
      throw new VaultRefused(`the ${what} is not what was announced in the transcript`);
    }
    if (recorded) {
      const signature = decodeBase64(String(recorded["signature"]));
      if (verifier(scheme, key.publicKey)(message, signature)) return signature;
      throw new VaultRefused(`the transcript's signature of the ${what} does not verify`);
    }
    this.transcript.write("signing", { key: label, what, hash: named, digest });
    const signature = this.signUnrecorded(label, message);
    this.transcript.write("signed", { key: label, what, signature: encodeBase64(signature) });
    return signature;
  }

  /** Signs and verifies. Only what is itself a record may go unrecorded. */
  signUnrecorded(label: string, message: Uint8Array): Uint8Array {
    const key = this.key(label);
    const scheme = schemes[key.algorithm];
    const { module, session } = this.session(key.token);
    module.beginSigning(session, findKey(module, session, key), scheme.mechanism);
    const raw = module.signNow(session, signingInput(scheme, message), scheme.signatureBytes);
    const signature = releasedForm(scheme, raw);
    if (!verifier(scheme, key.publicKey)(message, signature)) {
      throw new VaultRefused(`the key "${label}" gave a signature that does not verify`);
    }
    return signature;
  }

  /** Makes every file of a token durable and readable by its owner alone; SoftHSM does neither. */
  async syncTokens(): Promise<void> {
    this.#close();
    const folder = join(this.home, "tokens");
    if (!existsSync(folder)) return;
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      await chmod(path, entry.isDirectory() ? 0o700 : 0o600);
      await syncPath(path);
    }
    await syncPath(folder);
    await syncPath(this.home);
  }

  [Symbol.dispose](): void {
    this.#close();
  }

  #close(): void {
    if (!this.#open || !this.#module) return;
    if (this.#open.session) this.#module.closeSession(this.#open.session);
    this.#module.finalise();
    this.#open = null;
  }
}
