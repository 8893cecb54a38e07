/**
 * Transcripts: JSON lines, each holding the SHA-256 of the line before it, each on the disk before what it announces is done. The last
 * line is signed by the ceremony's own key. A transcript is also how a ceremony goes on after it was killed: everything that was left
 * to chance (identifiers, serial numbers, signatures) stands in it, so the steps are run again and find what they have done.
 */
import { hash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeSync,
} from "node:fs";
import * as v from "valibot";
import { encodeBase64, encodeUtf8 } from "../../core/formats/encoding.ts";
import { parseJson } from "../../core/formats/json.ts";
import { VaultRefused } from "../errors.ts";

const line = v.strictObject({
  sequence: v.pipe(v.number(), v.integer(), v.minValue(1)),
  at: v.pipe(v.string(), v.isoTimestamp()),
  what: v.pipe(v.string(), v.minLength(1)),
  detail: v.record(v.string(), v.unknown()),
  /** SHA-256 of the line before, without its newline; 64 zeros for the first. */
  previous: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  /** Of the last line alone: over all of it but this member and the comma before. */
  signature: v.optional(v.string()),
});

/** One line. */
export type TranscriptLine = v.InferOutput<typeof line>;
/** What a line says. */
export interface Detail {
  readonly [name: string]: unknown;
}

const first = "0".repeat(64);
/** What the last line says. */
export const seal = "seal";

/** How a transcript is written. */
interface Writing {
  readonly clock?: (() => Date) | undefined;
  /** True on a rehearsal's twin: a power cut takes all of it, so no line waits for the disk. */
  readonly isThrownAway?: boolean;
}

/** A transcript that is being written, or written on. */
export class Transcript implements Disposable {
  readonly #file: number;
  readonly #clock: () => Date;
  readonly #isThrownAway: boolean;
  readonly #before = new Map<number, TranscriptLine[]>();
  #lines: TranscriptLine[] = [];
  #previous = first;
  #step = 0;
  /** True while steps are run again that were checked already: whatever they do must be in the transcript. */
  replaying = false;

  /** Begins at `path`, or goes on with what is there; a line that was not wholly written is cut off. */
  constructor(path: string, { clock = () => new Date(), isThrownAway = false }: Writing = {}) {
    this.#clock = clock;
    this.#isThrownAway = isThrownAway;
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    if (whole !== "") this.#takeUp(whole);
    this.#file = openSync(path, "a", 0o600);
    if (whole.length < text.length) ftruncateSync(this.#file, encodeUtf8(whole).length);
    if (this.#lines.length > 0) {
      this.write("resumed", { afterLine: this.#lines.length });
    }
  }

  #takeUp(text: string): void {
    this.#lines = [...parseTranscript(text)];
    if (this.#lines.at(-1)?.what === seal) throw new VaultRefused("the transcript is sealed");
    this.#previous = digest(text.slice(0, -1).split("\n").at(-1) ?? "");
    let step = 0;
    for (const one of this.#lines) {
      if (one.what === "step" || one.what === "step again") step = Number(one.detail["number"]);
      if (one.what === "resumed") step = 0;
      const known = this.#before.get(step) ?? [];
      this.#before.set(step, [...known, one]);
    }
  }

  /** What it says so far. */
  get lines(): readonly TranscriptLine[] {
    return this.#lines;
  }

  /** How many lines it has. */
  get length(): number {
    return this.#lines.length;
  }

  /** From now on, lines belong to this step (0 for none); what it recorded before it was interrupted can be recalled. */
  enter(step: number, detail: Detail = {}): void {
    this.#step = step;
    if (step === 0) return;
    const known = this.#before.get(step);
    if (!known) this.write("step", { number: step, ...detail });
    else if (!this.replaying) this.write("step again", { number: step, ...detail });
  }

  /** The newest line of this step, from before it was interrupted, that says `what` with all of `match`. */
  recall(what: string, match: Detail = {}): Detail | null {
    const known = this.#before.get(this.#step) ?? [];
    const found = known.findLast(
      (one) =>
        one.what === what &&
        Object.entries(match).every(([name, value]) => one.detail[name] === value),
    );
    return found?.detail ?? null;
  }

  /** What this step recorded as `what` with `match` already; or else a new line with what `make` adds. */
  once(what: string, match: Detail, make: () => Detail = () => ({})): Detail {
    const known = this.recall(what, match);
    if (known) return known;
    const detail = { ...match, ...make() };
    this.write(what, detail);
    return detail;
  }

  /** Adds a line and waits until it is on the disk. @throws {VaultRefused} if the clock has gone back */
  write(what: string, detail: Detail = {}): void {
    if (this.replaying) {
      throw new VaultRefused(
        `step ${this.#step} was done, but doing it again wants "${what}", which is not in the transcript: something was changed since`,
      );
    }
    this.#append(this.#next(what, detail));
  }

  /** The last line, signed. */
  end(key: string, sign: (message: Uint8Array) => Uint8Array): void {
    const next = this.#next(seal, { key });
    const signature = encodeBase64(sign(sealedBytes(next)));
    this.#append({ ...next, signature });
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #next(what: string, detail: Detail): TranscriptLine {
    const at = this.#clock().toISOString();
    const last = this.#lines.at(-1)?.at;
    if (last !== undefined && at < last) {
      throw new VaultRefused(
        `the clock has gone back: it says ${at}, but the transcript's last line is of ${last}; set it right and go on`,
      );
    }
    return { sequence: this.#lines.length + 1, at, what, detail, previous: this.#previous };
  }

  #append(next: TranscriptLine): void {
    const text = JSON.stringify(next);
    writeSync(this.#file, `${text}\n`);
    if (!this.#isThrownAway) fsyncSync(this.#file);
    this.#previous = digest(text);
    this.#lines = [...this.#lines, next];
  }
}

/** The bytes under the last line's signature. */
export function sealedBytes({ sequence, at, what, detail, previous }: TranscriptLine): Uint8Array {
  return encodeUtf8(JSON.stringify({ sequence, at, what, detail, previous }));
}

/**
 * The lines of a transcript, whole or not yet ended.
 *
 * @throws {VaultRefused} if a byte of it was changed so that a line is none, does not follow from the one before, or goes back in time
 */
export function parseTranscript(text: string): readonly TranscriptLine[] {
  if (!text.endsWith("\n")) throw new VaultRefused("the transcript's last line is not whole");
  let [previous, at] = [first, ""];
  return text
    .slice(0, -1)
    .split("\n")
    .map((source, index) => {
      const parsed = v.safeParse(line, json(source));
      // Written again it must be the same bytes: there is one way to write a line.
      if (
        !parsed.success ||
        parsed.output.sequence !== index + 1 ||
        JSON.stringify(parsed.output) !== source
      ) {
        throw new VaultRefused(`line ${index + 1} of the transcript is not one`);
      }
      if (parsed.output.previous !== previous) {
        throw new VaultRefused(
          `line ${index + 1} of the transcript does not follow from the one before it`,
        );
      }
      if (parsed.output.at < at) {
        throw new VaultRefused(
          `line ${index + 1} of the transcript is older than the one before it`,
        );
      }
      [previous, at] = [digest(source), parsed.output.at];
      return parsed.output;
    });
}

function digest(text: string): string {
  return hash("sha256", encodeUtf8(text), "hex");
}

function json(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
