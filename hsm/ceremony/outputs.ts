/** The files that a ceremony makes: announced in the transcript, written once and durably, and recorded. */
import { hash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { durableWrite } from "../../core/durable.ts";
import { VaultRefused } from "../errors.ts";
import type { Transcript } from "./transcript.ts";

/** Files below one home. */
export class Outputs {
  readonly #home: string;
  readonly #transcript: Transcript;

  constructor(home: string, transcript: Transcript) {
    this.#home = home;
    this.#transcript = transcript;
  }

  /** Writes a file that must not exist, unless it is the very one that was announced before an interruption. */
  async write(path: string, content: Uint8Array | string, mode = 0o644): Promise<void> {
    const whole = join(this.#home, path);
    const announced = this.#transcript.recall("writing", { path });
    if (existsSync(whole)) {
      if (!announced) throw new VaultRefused(`${whole} exists already`);
      if (!Buffer.from(content).equals(await readFile(whole))) {
        throw new VaultRefused(`${whole} is not what the transcript says was written`);
      }
    } else {
      await this.#create(path, content, mode);
    }
    this.#wrote(path, content, mode);
  }

  /** Replaces a file that must be there with this content. */
  async replace(
    path: string,
    change: { readonly from: string; readonly to: string },
  ): Promise<void> {
    const whole = join(this.#home, path);
    const now = await readFile(whole, "utf8");
    if (now !== change.from && now !== change.to) {
      throw new VaultRefused(`${whole} has changed since the ceremony looked at it`);
    }
    if (now !== change.to) await this.#create(path, change.to, 0o644);
    this.#wrote(path, change.to, 0o644);
  }

  /** @throws {VaultRefused} unless the file is as this step left it */
  async requireWritten(path: string): Promise<void> {
    const content = await readFile(join(this.#home, path)).catch(() => null);
    const { sha256 } = this.#transcript.recall("wrote", { path }) ?? {};
    if (!content || (sha256 !== undefined && hash("sha256", content, "hex") !== sha256)) {
      throw new VaultRefused(
        `${join(this.#home, path)} is not what the transcript says was written`,
      );
    }
  }

  /** Removes what this step announced and left when it was interrupted; nothing else is ever removed. */
  async discard(path: string): Promise<void> {
    if (!this.#transcript.recall("writing", { path })) return;
    this.#transcript.write("discarded", { path });
    await rm(join(this.#home, path), { force: true });
  }

  async #create(path: string, content: Uint8Array | string, mode: number): Promise<void> {
    const whole = join(this.#home, path);
    const told = { path, ...hashUnlessSecret(content, mode) };
    const isDiscarded = this.#transcript.lines.some(
      ({ what, detail }) => what === "discarded" && detail["path"] === path,
    );
    const recorded = this.#transcript.recall("wrote", told);
    if (recorded && !isDiscarded) throw new VaultRefused(`${whole} was written, but is missing`);
    this.#transcript.once("writing", told);
    await mkdir(dirname(whole), { recursive: true, mode: 0o700 });
    await durableWrite(whole, content, mode);
  }

  #wrote(path: string, content: Uint8Array | string, mode: number): void {
    this.#transcript.once("wrote", { path, ...hashUnlessSecret(content, mode) });
  }
}

/** What is secret leaves no trace in the transcript, not even its hash. */
function hashUnlessSecret(
  content: Uint8Array | string,
  mode: number,
): { readonly sha256?: string } {
  return mode === 0o600 ? {} : { sha256: hash("sha256", content, "hex") };
}
