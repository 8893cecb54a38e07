/**
 * Transcripts: JSON lines, each holding the SHA-256 of the line before it, each on the disk before the next step begins. The last
 * line says that the ceremony ended; a transcript without it is of a ceremony that did not.
 */
import { hash } from "node:crypto";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import * as v from "valibot";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { parseJson } from "../../core/formats/json.ts";
import { VaultRefused } from "../errors.ts";

const line = v.strictObject({
  sequence: v.pipe(v.number(), v.integer(), v.minValue(1)),
  at: v.pipe(v.string(), v.isoTimestamp()),
  what: v.pipe(v.string(), v.minLength(1)),
  detail: v.record(v.string(), v.unknown()),
  /** SHA-256 of the line before, without its newline; 64 zeros for the first. */
  previous: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});

/** One line. */
export type TranscriptLine = v.InferOutput<typeof line>;

const first = "0".repeat(64);
const end = "end";

/** A transcript that is being written. */
export class Transcript implements Disposable {
  readonly #file: number;
  #sequence = 0;
  #previous = first;

  /** @throws if the file exists */
  constructor(path: string) {
    this.#file = openSync(path, "wx", 0o600);
  }

  /** Adds a line and waits until it is on the disk. */
  write(what: string, detail: { readonly [name: string]: unknown } = {}): void {
    this.#sequence += 1;
    const at = new Date().toISOString();
    const text = JSON.stringify({
      sequence: this.#sequence,
      at,
      what,
      detail,
      previous: this.#previous,
    });
    writeSync(this.#file, `${text}\n`);
    fsyncSync(this.#file);
    this.#previous = digest(text);
  }

  /** The last line. */
  end(): void {
    this.write(end);
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** The lines of a transcript. @throws {VaultRefused} if it was changed, or is of a ceremony that did not end */
export function verifyTranscript(text: string): readonly TranscriptLine[] {
  if (!text.endsWith("\n")) throw new VaultRefused("the transcript's last line is not whole");
  let previous = first;
  const lines = text
    .slice(0, -1)
    .split("\n")
    .map((source, index) => {
      const parsed = v.safeParse(line, json(source));
      if (!parsed.success || parsed.output.sequence !== index + 1) {
        throw new VaultRefused(`line ${index + 1} of the transcript is not one`);
      }
      if (parsed.output.previous !== previous) {
        throw new VaultRefused(
          `line ${index + 1} of the transcript does not follow from the one before it`,
        );
      }
      previous = digest(source);
      return parsed.output;
    });
  if (lines.at(-1)?.what !== end)
    throw new VaultRefused("the transcript is of a ceremony that did not end");
  return lines;
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
