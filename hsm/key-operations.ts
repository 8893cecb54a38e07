/**
 * What an operator has done to keys while the vault runs: a new one on the token, a certificate for one. Each is announced in the
 * ledger before it is begun and takes effect by one replacement of the keyring, so that a vault that is killed on the way holds either
 * the keyring from before or the one from after; the same ask again finds what was announced and goes on with it.
 */
import { hash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../core/clock.ts";
import { durableWrite, syncPath } from "../core/durable.ts";
import { concat, encodeHex, encodeUtf8, equalBytes } from "../core/formats/encoding.ts";
import { Malformed } from "../core/formats/malformed.ts";
import type { Journal } from "../core/journal.ts";
import type { Envelope } from "../core/plugin.ts";
import type { AnswerOf, QuestionOf } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import type { bindChain, certifySelf, generateKey, retireKey } from "../events/hsm.ts";
import type { Out } from "../events/contract.ts";
import { checkChain } from "./chain-check.ts";
import { HsmError, VaultRefused } from "./errors.ts";
import type { Guard } from "./guard.ts";
import {
  formatKeyring,
  isPurposeOf,
  isUsed,
  type Keyring,
  parseKeyring,
  type VaultKey,
} from "./keyring.ts";
import { type Ledger, StateUnavailable } from "./ledger.ts";
import { certifyOwnRoot, ownRootsOf } from "./own-root.ts";
import type { Pool } from "./pool.ts";
import type { Vault } from "./vault.ts";

/** Who may ask for operations: an identity of the bus that no process of the installation has. */
const operator = "operator";

/** What operations work with. */
export interface OperationParts {
  /** Path of the keyring. */
  readonly path: string;
  /** Folder of the token's files, where the module keeps them there: SoftHSM does not sync what it writes. */
  readonly tokenFiles: string;
  readonly keyring: Keyring;
  readonly database: DatabaseSync;
  readonly ledger: Ledger;
  readonly guard: Guard;
  readonly pool: Pool;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly journal: Journal;
}

type Generate = Out<(typeof generateKey)["question"]>;
type Bind = Out<(typeof bindChain)["question"]>;
type CertifySelf = Out<(typeof certifySelf)["question"]>;
type Operation = "generateKey" | "bindChain" | "certifySelf" | "retireKey";

/** The operations of one vault, one at a time. */
export class KeyOperations {
  readonly #parts: OperationParts;
  #keyring: Keyring;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: OperationParts) {
    this.#parts = parts;
    this.#keyring = parts.keyring;
  }

  /** The handler of `generateKey`. @throws {Failure} */
  async generateKey(question: Generate, envelope: Envelope): Promise<AnswerOf<typeof generateKey>> {
    const key = await this.#inTurn("generateKey", question.label, envelope, async () => {
      return await this.#generate(question, envelope);
    });
    return { publicKey: key.publicKey, id: key.id };
  }

  /** The handler of `bindChain`. @throws {Failure} */
  async bindChain(question: Bind, envelope: Envelope): Promise<AnswerOf<typeof bindChain>> {
    await this.#inTurn("bindChain", question.key, envelope, async () => {
      await this.#bind(question, envelope);
    });
    return {};
  }

  /** CAs that are their own roots, as the keyring is now. */
  ownRoots(): readonly Uint8Array[] {
    return ownRootsOf(this.#keyring.keys);
  }

  /** The handler of `certifySelf`. @throws {Failure} */
  async certifySelf(
    question: CertifySelf,
    envelope: Envelope,
  ): Promise<AnswerOf<typeof certifySelf>> {
    const certificate = await this.#inTurn("certifySelf", question.key, envelope, async () => {
      return await this.#certify(question, envelope);
    });
    return { certificate };
  }

  /** The handler of `retireKey`. @throws {Failure} */
  async retireKey(
    { key }: QuestionOf<typeof retireKey>,
    envelope: Envelope,
  ): Promise<AnswerOf<typeof retireKey>> {
    await this.#inTurn("retireKey", key, envelope, async () => await this.#retire(key, envelope));
    return {};
  }

  /** One after the other; a refusal is a row of the ledger before it is answered. */
  async #inTurn<T>(
    operation: Operation,
    key: string,
    envelope: Envelope,
    work: () => Promise<T>,
  ): Promise<T> {
    const before = this.#last;
    const done = (async () => {
      await before;
      try {
        if (envelope.from !== operator) {
          throw new Failure("access-denied", `${operation} is for operators`);
        }
        return await work();
      } catch (error) {
        const failure = failureOf(error);
        if (failure.code === "internal") this.#parts.journal.error("operation-failed", { error });
        await this.#recordRefusal(operation, key, { failure, envelope });
        throw failure;
      }
    })();
    this.#last = done.catch(() => undefined);
    return await done;
  }

  async #generate(question: Generate, envelope: Envelope): Promise<VaultKey> {
    const { pool, ledger, vault } = this.#parts;
    const { label, algorithm } = question;
    if (!isPurposeOf(algorithm, question.purposes)) {
      throw refused(`a key of ${algorithm} signs checkpoints and nothing else`);
    }
    const bindingHash = hash("sha256", encodeUtf8(JSON.stringify(bindingOf(question))), "hex");
    const known = this.#keyring.keys.find((key) => key.label === label);
    const announced = this.#announced(label);
    if (announced && announced.hash !== bindingHash) {
      throw refused(`"${label}" was announced as another key; ask for it as it was announced`);
    }
    if (known) {
      if (JSON.stringify(bindingOf(known)) !== JSON.stringify(bindingOf(question))) {
        throw refused(`the keyring holds another key "${label}" already; choose a new label`);
      }
      await vault.adopt(known);
      if (announced) await this.#finish("generateKey", label, { hash: bindingHash, envelope });
      return known;
    }
    if (!announced && pool.isLabelUsed(label)) {
      throw refused(`the label "${label}" is in use on the token; choose a new one`);
    }
    const id = announced?.id ?? randomBytes(16);
    if (!announced) {
      await ledger.transaction(() => {
        this.#announce("generateKey", label, { id, hash: bindingHash, envelope });
      });
    }
    const publicKey = pool.generate({ algorithm, label, id });
    await this.#syncToken();
    const key: VaultKey = {
      ...bindingOf(question),
      id,
      publicKey,
      publicKeySha256: hash("sha256", publicKey, "buffer"),
    };
    // Read back and found safe before the keyring promises it.
    pool.add(key);
    await this.#replaceKeyring([...this.#keyring.keys, key]);
    await vault.adopt(key);
    await this.#finish("generateKey", label, { hash: bindingHash, envelope });
    this.#parts.journal.info("key-generated", { key: label, id: encodeHex(id) });
    return key;
  }

  async #bind({ key: label, chain }: Bind, envelope: Envelope): Promise<void> {
    const { ledger, vault } = this.#parts;
    const key = this.#keyring.keys.find((one) => one.label === label);
    if (!key) throw refused(`the keyring has no key "${label}"`);
    if (key.chain) {
      if (sameChain(key.chain, chain)) {
        await vault.adopt(key);
        return;
      }
      throw refused(`"${label}" has its certificate already; a key is certified once`);
    }
    checkChain(key, chain, this.#keyring.keys);
    const chainHash = hash("sha256", concat(...chain), "hex");
    await ledger.transaction(() => {
      ledger.operate({
        ...about("bindChain", label, envelope),
        phase: "announced",
        hash: chainHash,
      });
    });
    await this.#change(label, { chain: [...chain] });
    await this.#finish("bindChain", label, { hash: chainHash, envelope });
    this.#parts.journal.info("chain-bound", { key: label });
  }

  async #certify(question: CertifySelf, envelope: Envelope): Promise<Uint8Array> {
    const parts = { ...this.#parts, keyring: this.#keyring };
    const { certificate, isNew, ...what } = await certifyOwnRoot(parts, question, envelope);
    const { key: label } = question;
    await this.#change(label, { chain: [certificate] });
    if (!isNew) return certificate;
    await this.#finish("certifySelf", label, { ...what, envelope });
    this.#parts.journal.info("own-root-certified", { key: label });
    return certificate;
  }

  async #retire(label: string, envelope: Envelope): Promise<void> {
    const key = this.#keyring.keys.find((one) => one.label === label);
    if (!key) throw refused(`the keyring has no key "${label}"`);
    if (key.origin === undefined) throw refused(`"${label}" is not the key of a log`);
    const what = { hash: encodeHex(key.publicKeySha256), envelope };
    if (isUsed(key)) {
      const row = { ...about("retireKey", label, envelope), hash: what.hash };
      await this.#parts.ledger.transaction(() => {
        this.#parts.ledger.operate({ ...row, phase: "announced" });
      });
    }
    await this.#change(label, { retired: true });
    await this.#finish("retireKey", label, what);
    this.#parts.journal.info("key-retired", { key: label });
  }

  /** Says more of a key, in the keyring and then in the vault. */
  async #change(label: string, more: Partial<VaultKey>): Promise<void> {
    const keys = this.#keyring.keys.map((one) => (one.label === label ? { ...one, ...more } : one));
    await this.#replaceKeyring(keys);
    const key = this.#keyring.keys.find((one) => one.label === label);
    if (key) await this.#parts.vault.adopt(key);
  }

  /** The new keyring, on the disk and read back. */
  async #replaceKeyring(keys: Keyring["keys"]): Promise<void> {
    const { path } = this.#parts;
    const text = formatKeyring({ ...this.#keyring, keys });
    parseKeyring(text);
    await durableWrite(path, text, 0o644);
    const read = await readFile(path, "utf8");
    if (read !== text) throw new VaultRefused(`${path} does not read back as it was written`);
    this.#keyring = parseKeyring(read);
  }

  #announced(label: string): { readonly id: Uint8Array; readonly hash: string } | null {
    const row = this.#parts.database
      .prepare("SELECT id, hash FROM announced WHERE key = ?")
      .get(label);
    if (!row || !(row["id"] instanceof Uint8Array)) return null;
    return { id: row["id"], hash: String(row["hash"]) };
  }

  #announce(
    operation: Operation,
    label: string,
    { id, hash: what, envelope }: { id: Uint8Array; hash: string; envelope: Envelope },
  ): void {
    const { database, ledger } = this.#parts;
    database.prepare("INSERT INTO announced (key, id, hash) VALUES (?, ?, ?)").run(label, id, what);
    ledger.operate({ ...about(operation, label, envelope), phase: "announced", hash: what });
  }

  async #finish(
    operation: Operation,
    label: string,
    { hash: what, envelope }: { hash: string; envelope: Envelope },
  ): Promise<void> {
    const { database, ledger } = this.#parts;
    await ledger.transaction(() => {
      database.prepare("DELETE FROM announced WHERE key = ?").run(label);
      ledger.operate({ ...about(operation, label, envelope), phase: "done", hash: what });
    });
  }

  async #recordRefusal(
    operation: Operation,
    key: string,
    { failure, envelope }: { failure: Failure; envelope: Envelope },
  ): Promise<void> {
    const { ledger, journal } = this.#parts;
    const { code, message: why } = failure;
    const { from: asker, trace } = envelope;
    journal.warn("operation-refused", { operation, key, asker, code, why });
    try {
      await ledger.transaction(() => {
        ledger.refuse({ asker, key, purpose: operation, code, why, trace });
      });
    } catch (error) {
      journal.error("vault-state-unwritable", { error });
    }
  }

  /** A key must not be lost by a power cut once the keyring promises it. */
  async #syncToken(): Promise<void> {
    const folder = this.#parts.tokenFiles;
    if (!existsSync(folder)) return;
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      await syncPath(join(entry.parentPath, entry.name));
    }
    await syncPath(folder);
  }
}

/** What a key is for: all of it but its identity, always in this order. */
function bindingOf({ label, algorithm, purposes, askers, origin, noteName }: Generate | VaultKey) {
  return {
    label,
    algorithm,
    purposes: [...purposes],
    askers: [...askers],
    ...(origin !== undefined && { origin }),
    ...(noteName !== undefined && { noteName }),
  };
}

function about(operation: Operation, key: string, { from: asker, trace }: Envelope) {
  return { asker, operation, key, trace };
}

function sameChain(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((one, at) => equalBytes(one, b[at] ?? new Uint8Array()));
}

function refused(message: string): Failure {
  return new Failure("operation-refused", message);
}

function failureOf(error: unknown): Failure {
  if (error instanceof HsmError || error instanceof StateUnavailable) {
    return new Failure("key-unavailable", error.message, { cause: error });
  }
  if (error instanceof Malformed) return new Failure("lint-refused", error.message);
  if (error instanceof VaultRefused) return refused(error.message);
  return Failure.from(error);
}
