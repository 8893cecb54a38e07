/**
 * Operations on a live instance: ceremonies whose steps on the open token run inside the vault, as asks of an operator, while the
 * offline token is opened by this process alone. What is done stands in a transcript of its own, chained and sealed as a ceremony's
 * is, so that an operation that was killed is asked for again and goes on, and `chancery ceremony verify` checks it afterwards.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { syncPath } from "../../core/durable.ts";
import type { AnswerOf, Ask, QuestionOf } from "../../events/contract.ts";
import { Bench } from "../ceremony/bench.ts";
import { expectedInventory } from "../ceremony/inventory.ts";
import { parseTranscript, seal, Transcript } from "../ceremony/transcript.ts";
import { verifyTranscript } from "../ceremony/verify.ts";
import { VaultRefused } from "../errors.ts";
import { takeLock } from "../lock.ts";

/** Puts an ask in the operator's name. */
export type OperatorAsk = <A extends Ask>(ask: A, question: QuestionOf<A>) => Promise<AnswerOf<A>>;

/** Where and with what an operation is done. */
export interface OperationRequest {
  /** Absolute path of the home of the live instance. */
  readonly home: string;
  /** Path of the PKCS#11 library for the offline token. */
  readonly module: string;
  /** Label of the offline token. */
  readonly offlineToken: string;
  /** Its PIN; without it, the home's PIN file is read. */
  readonly offlinePin?: string | undefined;
  readonly ask: OperatorAsk;
  /** Told of every step before it is done. */
  readonly report: (step: string) => void;
}

/** What the steps of an operation work with. */
export interface Site {
  readonly home: string;
  readonly ask: OperatorAsk;
  readonly bench: Bench;
}

/** A step. Done again after an interruption, it must come to the same. */
export interface OperationStep {
  readonly title: string;
  readonly perform: (site: Site) => Promise<void>;
}

/** An operation. */
export interface Operation {
  /** Unique: an operation of this name is done once. */
  readonly name: string;
  /** What it was asked to do; an interrupted one goes on only with the same. */
  readonly parameters: { readonly [name: string]: string };
  /** What must hold before it is begun; nothing is written until then. @throws {VaultRefused} */
  readonly precondition: () => Promise<void>;
  readonly steps: readonly OperationStep[];
}

/** What came of it. */
export interface OperationResult {
  /** Absolute path. */
  readonly transcript: string;
  /** True if nothing was left to do. */
  readonly wasDone: boolean;
}

/** The name by which operations know the offline token. */
export const offline = "offline";
/** The key on it that signs targets, and with that the transcripts. */
export const targetsKey = "tuf-targets";
const performs = "performs an operation on this home";
const prefix = "operation-";
const suffix = ".transcript.jsonl";

/** Does an operation, or goes on with it. @throws {VaultRefused} with one sentence @throws {Failure} of an ask */
export async function conduct(
  request: OperationRequest,
  operation: Operation,
): Promise<OperationResult> {
  const folder = join(request.home, "ceremony");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  using _lock = takeLock(join(folder, "operations.lock"), performs);
  const path = join(folder, `${prefix}${operation.name}${suffix}`);
  if (existsSync(path) && isSealed(await readFile(path, "utf8"))) {
    requireEnded(await readFile(path, "utf8"), operation.name);
    return { transcript: path, wasDone: true };
  }
  await refuseOthers(folder, operation.name);
  if (!existsSync(path)) await operation.precondition();
  using transcript = new Transcript(path);
  await syncPath(folder);
  const parameters = JSON.stringify(operation.parameters);
  const head = transcript.once("ceremony", { name: operation.name, live: true }, () => ({
    parameters,
    steps: operation.steps.length,
    transcriptKey: targetsKey,
    startedAt: wholeSeconds(new Date()).toISOString(),
  }));
  if (head["parameters"] !== parameters) {
    throw new VaultRefused(
      `${path} is of an operation that was begun with ${String(head["parameters"])}; it is gone on with only by those`,
    );
  }
  using bench = benchFor(request, transcript, String(head["startedAt"]));
  const site = { home: request.home, ask: request.ask, bench };
  for (const [index, { title, perform }] of operation.steps.entries()) {
    request.report(title);
    transcript.enter(index + 1, { step: title });
    await perform(site);
    transcript.once("checked", { number: index + 1 });
  }
  transcript.enter(0);
  close(bench);
  transcript.end(targetsKey, (message) => bench.signUnrecorded(targetsKey, message));
  return { transcript: path, wasDone: false };
}

/**
 * Gives up an operation that was begun and cannot go on: its transcript is sealed as it is, and others may be begun. What was made
 * stays and is not used.
 */
export async function abandon(
  request: OperationRequest,
  { name, open }: { readonly name: string; readonly open: OperationStep },
): Promise<OperationResult> {
  const folder = join(request.home, "ceremony");
  const path = join(folder, `${prefix}${name}${suffix}`);
  if (!existsSync(path)) throw new VaultRefused(`there is no operation "${name}"`);
  using _lock = takeLock(join(folder, "operations.lock"), performs);
  if (isSealed(await readFile(path, "utf8"))) {
    throw new VaultRefused(`the operation "${name}" has ended already`);
  }
  using transcript = new Transcript(path);
  using bench = benchFor(request, transcript, new Date().toISOString());
  request.report(open.title);
  transcript.enter(1, { step: open.title });
  await open.perform({ home: request.home, ask: request.ask, bench });
  transcript.enter(0);
  transcript.write("abandoned");
  close(bench);
  transcript.end(targetsKey, (message) => bench.signUnrecorded(targetsKey, message));
  return { transcript: path, wasDone: false };
}

function benchFor(request: OperationRequest, transcript: Transcript, startedAt: string): Bench {
  return new Bench({
    home: request.home,
    module: request.module,
    transcript,
    startedAt: new Date(startedAt),
    pins: request.offlinePin === undefined ? {} : { [offline]: request.offlinePin },
    rehearsal: false,
  });
}

/** What is on the offline token now must be what was there: an operation makes nothing on it. */
function close(bench: Bench): void {
  const objects = bench.inventory(offline);
  if (objects.join("\n") !== expectedInventory(bench.transcript.lines, offline).join("\n")) {
    throw new VaultRefused("the offline token does not hold what it held when it was opened");
  }
  bench.transcript.once("inventory after", { token: offline }, () => ({ objects }));
}

/** Half an operation is finished before another is begun: both would publish targets of one version. */
async function refuseOthers(folder: string, name: string): Promise<void> {
  for (const file of await readdir(folder)) {
    if (!file.startsWith(prefix) || !file.endsWith(suffix)) continue;
    const other = file.slice(prefix.length, -suffix.length);
    const text = await readFile(join(folder, file), "utf8");
    if (other === name || isSealed(text) || !hasBegun(text)) continue;
    throw new VaultRefused(
      `the operation "${other}" was begun and has not ended; ask for it again as it was asked for, or give it up with: chancery operate abandon ${other}`,
    );
  }
}

/** Until its first step is done, which opens the token, an operation has changed nothing. */
function hasBegun(text: string): boolean {
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  return whole !== "" && parseTranscript(whole).some(({ what }) => what === "checked");
}

function requireEnded(text: string, name: string): void {
  if (parseTranscript(text).some(({ what }) => what === "abandoned")) {
    throw new VaultRefused(`the operation "${name}" was given up; choose another name`);
  }
  verifyTranscript(text);
}

function isSealed(text: string): boolean {
  const last = text.trimEnd().split("\n").at(-1) ?? "";
  return text.endsWith("\n") && last.includes(`"what":"${seal}"`);
}

function wholeSeconds(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1_000) * 1_000);
}
