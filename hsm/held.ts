/**
 * Certificates on their way. A precertificate that was signed is remembered for a while; the question for its certificate is held until
 * the vault has also signed an SCT over it, with a key of a log that the asker named. Then, and only then, is there something to sign,
 * and the vault has made all of it: no SCT but its own is ever in a certificate.
 *
 * The certificate's row of the ledger is durable since its precertificate's, so there is nothing to wait for then but the token.
 *
 * All of this is memory, bounded in number and time, and may be lost: what it has forgotten is refused, and its row says so.
 */
import { digestOf } from "../core/formats/digest.ts";
import { equalBytes } from "../core/formats/encoding.ts";
import { digitallySigned, formatSctList, type SctEntry } from "../core/formats/sct.ts";
import type { Envelope } from "../core/plugin.ts";
import type { QuestionOf } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import type { completeCertificate } from "../events/hsm.ts";
import type { Asked, SignAnswer } from "./asked.ts";
import type { SignedPrecertificate } from "./certificate.ts";
import type { VaultKey } from "./keyring.ts";
import type { Prepared } from "./prepared.ts";

/** What the ask `completeCertificate` brings. */
export type CompleteQuestion = QuestionOf<typeof completeCertificate>;

/** What holding needs of the vault. */
export interface HoldingParts {
  readonly now: () => Date;
  /** Puts a question that is to be refused before the vault, which records it. */
  readonly submit: (asked: Asked) => void;
  /** Puts a question before the vault that can be answered: it judges it, and signs under the row that was announced. */
  readonly finish: (asked: Asked, announced: number) => void;
  /** Tells that what was announced will not be asked for, or cannot be. */
  readonly giveUp: (announced: number, reason: string) => void;
  /** How long after its precertificate a certificate can be asked for. */
  readonly keptMs: number;
  /** @throws {Failure} if whoever asks may not have certificates signed with this key, or nobody may at the moment. */
  readonly authorise: (label: string, envelope: Envelope) => void;
  /** True if this key signs SCTs at the moment. */
  readonly givesScts: (label: string) => boolean;
  /** The certificate with this list of SCTs, ready to be judged. @throws {Failure} */
  readonly prepare: (
    precertificate: SignedPrecertificate,
    list: Uint8Array,
    nowMs: number,
  ) => Prepared;
}

/** As many as a log takes at once: a kilobyte or two each. */
const most = 4_096;
/** How often it is looked whether an asker has stopped waiting, while one waits. */
const lookEveryMs = 100;
/** How often what is too old is forgotten, while there is anything. */
const forgetEveryMs = 10_000;

/** Remembers and holds for one vault. */
export class Held {
  readonly #parts: HoldingParts;
  readonly #byCore = new Map<string, Known>();
  #lookout: NodeJS.Timeout | null = null;
  #forgetting: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(parts: HoldingParts) {
    this.#parts = parts;
  }

  /** True if a certificate waits for an SCT, or did a moment ago. */
  get isWaitedFor(): boolean {
    return this.#lookout !== null;
  }

  /**
   * Remembers a precertificate that was signed, and the row that announces its certificate. If there are too many, the oldest gives way
   * for which nobody waits; where all are waited for, this one, because the others are nearer to their end.
   */
  keep(key: VaultKey, precertificate: SignedPrecertificate, announced: number): void {
    if (this.#isClosed) {
      this.#parts.giveUp(announced, "the vault ends");
      return;
    }
    if (this.#byCore.size >= most) {
      const idle = this.#byCore.entries().find(([, { waiting }]) => waiting === null);
      const gone = idle?.[1].announced ?? announced;
      this.#parts.giveUp(gone, "too many precertificates came after its own");
      if (idle === undefined) return;
      this.#byCore.delete(idle[0]);
    }
    const { label, publicKeySha256: keyHash } = key;
    const untilMs = this.#parts.now().getTime() + this.#parts.keptMs;
    const lists = new Map<string, Uint8Array>();
    const known = { label, keyHash, precertificate, announced, untilMs, lists, waiting: null };
    this.#byCore.set(nameOf(precertificate.core), known);
    this.#forgetting ??= setTimeout(() => this.#forget(), forgetEveryMs);
  }

  /** The handler of `completeCertificate`. @throws {Failure} */
  async complete(question: CompleteQuestion, envelope: Envelope): Promise<SignAnswer> {
    return await new Promise((resolve, reject) => {
      const waiting = { question, envelope, resolve, reject };
      try {
        this.#hold(waiting);
      } catch (thrown) {
        this.#submitRefusal(waiting, thrown);
      }
    });
  }

  /** Takes note of SCTs that the vault has signed and verified: what waited for one of them can be made. */
  promised(log: VaultKey, entries: readonly SctEntry[], signatures: readonly Uint8Array[]): void {
    if (this.#byCore.size === 0) return;
    for (const [at, entry] of entries.entries()) {
      const signature = signatures[at];
      if (entry.kind !== "precertificate" || signature === undefined) continue;
      const known = this.#byCore.get(nameOf(digestOf("sha256", entry.tbs)));
      if (known === undefined || !equalBytes(known.keyHash, entry.issuerKeyHash)) continue;
      const sct = { logId: log.publicKeySha256, timestampMs: entry.timestampMs };
      known.lists.set(
        log.label,
        formatSctList([
          { ...sct, extensions: new Uint8Array(), signature: digitallySigned(signature) },
        ]),
      );
      if (known.waiting !== null) this.#makeIfPromised(known, known.waiting);
    }
  }

  /** Refuses what waits for keys that sign no more. */
  review(isUsable: (label: string) => boolean): void {
    for (const [name, known] of this.#byCore) {
      const { waiting } = known;
      if (waiting === null) continue;
      const { key, logs } = waiting.question;
      if (isUsable(key) && logs.some((log) => isUsable(log))) continue;
      this.#byCore.delete(name);
      this.#refuse(
        known,
        new Failure("key-unavailable", "no SCT will come: a key is not used any more"),
      );
    }
  }

  /** Refuses everything that waits, gives up what was announced, and does so with whatever comes after it. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#lookout ?? undefined);
    clearTimeout(this.#forgetting ?? undefined);
    const all = [...this.#byCore.values()];
    this.#byCore.clear();
    for (const known of all) this.#refuse(known, ending());
  }

  #hold(waiting: Waiting): void {
    const { question, envelope } = waiting;
    if (this.#isClosed) throw ending();
    this.#parts.authorise(question.key, envelope);
    const known = this.#byCore.get(nameOf(question.precertificate));
    if (known === undefined && this.#byCore.size >= most) {
      throw new Failure("overloaded", "too many certificates wait for their SCTs");
    }
    if (known === undefined || known.label !== question.key) {
      throw refused("no precertificate that was signed a moment ago waits for this certificate");
    }
    if (!equalBytes(known.precertificate.verdict, question.verdict)) {
      throw refused("the precertificate was signed under another verdict");
    }
    if (known.waiting !== null) throw refused("this certificate has been asked for already");
    if (!question.logs.some((log) => this.#parts.givesScts(log))) {
      throw new Failure("key-unavailable", "none of the named keys signs SCTs");
    }
    if (this.#makeIfPromised(known, waiting)) return;
    known.waiting = waiting;
    this.#lookout ??= setTimeout(() => this.#lookAtTime(), lookEveryMs);
  }

  /** Refuses what nobody waits for any more. */
  #lookAtTime(): void {
    const nowMs = this.#parts.now().getTime();
    this.#lookout = null;
    for (const [name, known] of this.#byCore) {
      if (known.waiting === null) continue;
      if (known.waiting.envelope.deadlineAtMs > nowMs) {
        this.#lookout ??= setTimeout(() => this.#lookAtTime(), lookEveryMs);
        continue;
      }
      this.#byCore.delete(name);
      this.#refuse(known, new Failure("deadline-exceeded", "no SCT was asked for in time"));
    }
  }

  /** Forgets what nobody has asked for while it could be given; what comes later in the map was kept later. */
  #forget(): void {
    const nowMs = this.#parts.now().getTime();
    for (const [name, known] of this.#byCore) {
      if (known.untilMs > nowMs) break;
      if (known.waiting !== null) continue;
      this.#byCore.delete(name);
      this.#parts.giveUp(known.announced, "nobody asked for it in time");
    }
    const isOver = this.#byCore.size === 0;
    this.#forgetting = isOver ? null : setTimeout(() => this.#forget(), forgetEveryMs);
  }

  /** Has the certificate made if one of the named logs has promised; true if so. */
  #makeIfPromised(known: Known, waiting: Waiting): boolean {
    const { logs, precertificate } = waiting.question;
    const log = logs.find((label) => known.lists.has(label));
    const list = log === undefined ? undefined : known.lists.get(log);
    if (list === undefined) return false;
    this.#byCore.delete(nameOf(precertificate));
    const asked = asking(waiting, (_, nowMs) =>
      this.#parts.prepare(known.precertificate, list, nowMs),
    );
    this.#parts.finish(asked, known.announced);
    return true;
  }

  #refuse({ waiting, announced }: Known, failure: Failure): void {
    this.#parts.giveUp(announced, failure.message);
    if (waiting !== null) this.#submitRefusal(waiting, failure);
  }

  #submitRefusal(waiting: Waiting, refusal: unknown): void {
    const asked = asking(waiting, () => {
      throw refusal;
    });
    this.#parts.submit(asked);
  }
}

function asking(
  { question, envelope, resolve, reject }: Waiting,
  prepare: Asked["prepare"],
): Asked {
  return { key: question.key, purpose: "certificate", envelope, prepare, resolve, reject };
}

/** A precertificate that was signed. */
interface Known {
  /** Of the key that signed it, and the hash of its public half as SCTs have it. */
  readonly label: string;
  readonly keyHash: Uint8Array;
  readonly precertificate: SignedPrecertificate;
  /** The row that announces its certificate. */
  readonly announced: number;
  /** Until when it can be asked for. */
  readonly untilMs: number;
  /** Lists of one SCT each, by the label of the log's key. */
  readonly lists: Map<string, Uint8Array>;
  waiting: Waiting | null;
}

/** A question that is held. */
interface Waiting {
  readonly question: CompleteQuestion;
  readonly envelope: Envelope;
  readonly resolve: (answer: SignAnswer) => void;
  readonly reject: (failure: Failure) => void;
}

function refused(message: string): Failure {
  return new Failure("guard-refused", message);
}

function ending(): Failure {
  return new Failure("key-unavailable", "the vault ends");
}

function nameOf(core: Uint8Array): string {
  return Buffer.from(core.buffer, core.byteOffset, core.length).toString("latin1");
}
