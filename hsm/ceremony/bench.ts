/**
 * What the steps of a ceremony share: the tokens, of which one is open at a time, the keys and certificates made so far, and files
 * that are written once and durably.
 */
import { hash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { durableWrite, syncPath } from "../../core/durable.ts";
import { encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { VaultRefused } from "../errors.ts";
import { attributeFaults, findKey, findPublicKey, type PinnedKey } from "../keyring.ts";
import { type KeyAlgorithm, type KeyHandle, Module, type Session } from "../pkcs11.ts";
import { releasedForm, schemes, signingInput, verifier } from "../public-key.ts";
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
  readonly step: StepOf<"generateKey">;
}

/** The state of a ceremony under way. */
export class Bench implements Disposable {
  readonly home: string;
  readonly transcript: Transcript;
  /** When the ceremony began, in whole seconds: what it makes is valid from then on. */
  readonly startedAt: Date;
  readonly tokens = new Map<TokenName, CeremonyToken>();
  readonly keys = new Map<string, CeremonyKey>();
  /** Certificates by key label, DER. */
  readonly certificates = new Map<string, Uint8Array>();
  readonly #modulePath: string;
  #module: Module | null = null;
  #open: { readonly name: TokenName; readonly session: Session | null } | null = null;

  constructor(options: {
    readonly home: string;
    readonly module: string;
    readonly transcript: Transcript;
    readonly startedAt: Date;
  }) {
    this.home = options.home;
    this.transcript = options.transcript;
    this.startedAt = options.startedAt;
    this.#modulePath = options.module;
  }

  /** The module with this token's configuration in effect, and nobody logged in. */
  module(name: TokenName): Module {
    if (this.#module && this.#open?.name === name) return this.#module;
    this.#close();
    const conf = join(this.home, `softhsm2-${name}.conf`);
    // SoftHSM reads it whenever it is initialised; other modules do not look.
    if (existsSync(conf)) process.env["SOFTHSM2_CONF"] = conf;
    if (this.#module) this.#module.initialise();
    this.#module ??= new Module(this.#modulePath);
    this.#open = { name, session: null };
    return this.#module;
  }

  /** The module and a session that is logged in. */
  session(name: TokenName): { readonly module: Module; readonly session: Session } {
    const module = this.module(name);
    const token = this.token(name);
    const open = this.#open?.session;
    if (open) return { module, session: open };
    const { slot } = module.device(token.label, token.serial);
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

  /** The certificate of a key and those above it, as each names its issuer; the root last. */
  chain(label: string): Uint8Array[] {
    const own = this.certificate(label);
    const chain = [own];
    for (let last = parseCertificate(own); !equalBytes(last.issuer, last.subject);) {
      const above = [...this.certificates.values()]
        .map(parseCertificate)
        .find(({ subject }) => equalBytes(subject, last.issuer));
      if (above === undefined) throw new VaultRefused(`the chain of "${label}" has no root`);
      chain.push(above.der);
      last = above;
    }
    return chain;
  }

  /** Generates a pair, reads everything back, and finds it again. */
  generate(step: StepOf<"generateKey">): CeremonyKey {
    const { module, session } = this.session(step.token);
    const { label, algorithm } = step;
    if (this.keys.has(label) || module.findLabel(session, label).length > 0) {
      throw new VaultRefused(`the label "${label}" is in use already`);
    }
    const id = randomBytes(16);
    const handle = module.generate(session, { algorithm, label, id });
    const faults = attributeFaults(module.keyAttributes(session, handle));
    if (faults.length > 0) {
      throw new VaultRefused(`the new key "${label}" is not safe: it is ${faults.join(", ")}`);
    }
    const publicKey = findPublicKey(module, session, { label, id });
    const publicKeySha256 = hash("sha256", publicKey, "buffer");
    const key = {
      label,
      id,
      algorithm,
      publicKey,
      publicKeySha256,
      token: step.token,
      step,
    };
    findKey(module, session, key);
    this.keys.set(label, key);
    return key;
  }

  /** Signs, verifies, and says both in the transcript. */
  sign(label: string, what: string, message: Uint8Array): Uint8Array {
    const key = this.key(label);
    const scheme = schemes[key.algorithm];
    const digest = encodeHex(hash(scheme.hash, message, "buffer"));
    this.transcript.write("signing", { key: label, what, hash: scheme.hash, digest });
    const { module, session } = this.session(key.token);
    const handle: KeyHandle = findKey(module, session, key);
    module.beginSigning(session, handle, scheme.mechanism);
    const raw = module.signNow(session, signingInput(scheme, message), scheme.signatureBytes);
    const signature = releasedForm(scheme, raw);
    if (!verifier(scheme, key.publicKey)(message, signature)) {
      throw new VaultRefused(`the key "${label}" gave a signature that does not verify`);
    }
    const sha256 = encodeHex(hash("sha256", signature, "buffer"));
    this.transcript.write("signed", { key: label, what, signatureSha256: sha256 });
    return signature;
  }

  /** Writes a file that must not exist, and says so in the transcript. */
  async write(path: string, content: Uint8Array | string, mode = 0o644): Promise<void> {
    const whole = join(this.home, path);
    if (existsSync(whole)) throw new VaultRefused(`${whole} exists already`);
    await mkdir(dirname(whole), { recursive: true, mode: 0o700 });
    await durableWrite(whole, content, mode);
    // What is secret leaves no trace in the transcript, not even its hash.
    const sha256 = mode === 0o600 ? {} : { sha256: hash("sha256", content, "hex") };
    this.transcript.write("wrote", { path, ...sha256 });
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
