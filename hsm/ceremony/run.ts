/** Rehearses or performs a ceremony in this process: refuses what is in its way, does the steps in order, and takes up what was interrupted. */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { durableWrite, syncPath } from "../../core/durable.ts";
import { VaultRefused } from "../errors.ts";
import { takeLock } from "../lock.ts";
import { Bench } from "./bench.ts";
import { expectedInventory } from "./inventory.ts";
import { Progress } from "./progress.ts";
import { parseScript, type Script } from "./script.ts";
import { lintScript } from "./script-lint.ts";
import { outputsOf, performStep, titleOf } from "./steps.ts";
import { seal, Transcript } from "./transcript.ts";
import { furnishTwin, makeTwin } from "./twin.ts";
import { verifyTranscript } from "./verify.ts";

/** What a ceremony is to do, and where. */
export interface CeremonyRequest {
  /** Path of the script. */
  readonly script: string;
  /** Absolute path of the home that it makes or changes. */
  readonly home: string;
  /** Path of the PKCS#11 library. A rehearsal needs SoftHSM's. */
  readonly module: string;
  readonly parameters: { readonly [name: string]: string };
  /** PINs by the script's names of tokens, for tokens without a PIN file. */
  readonly pins?: { readonly [token: string]: string };
}

/** How to do it. */
export type CeremonyMode =
  /** On a throw-away twin; leaves the record that `perform` asks for. */
  | "rehearse"
  /** On a throw-away twin, telling every PKCS#11 call; leaves nothing. */
  | "dry-run"
  | "perform";

/** What came of it. */
export interface CeremonyResult {
  /** Absolute path; empty after a dry run. */
  readonly transcript: string;
}

/** Who is told how it goes. */
export interface Observer {
  /** Before each step. */
  readonly step?: (title: string) => void;
  /** Before each PKCS#11 call. */
  readonly call?: (call: string) => void;
  /** After each transition that is on the disk. */
  readonly persisted?: () => void;
  readonly clock?: () => Date;
}

/** Does it in this process. @throws {VaultRefused} with one sentence */
export async function runCeremony(
  request: CeremonyRequest,
  mode: CeremonyMode,
  observer: Observer = {},
): Promise<CeremonyResult> {
  const source = await readFile(request.script, "utf8").catch(() => {
    throw new VaultRefused(`there is no ceremony script at ${request.script}`);
  });
  const script = parseScript(source, request.parameters);
  lintScript(script);
  if (mode !== "perform") return await rehearse(request, script, { mode, observer });
  const folder = join(request.home, "ceremony");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Two at once would write two transcripts into one.
  using _lock = takeLock(join(folder, `${script.ceremony}.lock`), "performs this ceremony");
  const rehearsal = await requireRehearsal(request.home, script);
  const transcript = await perform({ ...request, rehearsal: false }, script, {
    observer,
    head: { rehearsalSha256: rehearsal },
  });
  return { transcript };
}

/** Where a rehearsal leaves its transcript. */
function rehearsalPath(home: string, { ceremony }: Script): string {
  return join(home, "ceremony", `${ceremony}.rehearsal.jsonl`);
}

async function rehearse(
  request: CeremonyRequest,
  script: Script,
  { mode, observer }: { mode: "rehearse" | "dry-run"; observer: Observer },
): Promise<CeremonyResult> {
  const path = rehearsalPath(request.home, script);
  await using twin = await makeTwin(script);
  const { home, pins } = twin;
  const { module } = request;
  {
    using transcript = new Transcript(join(home, "furnishing.jsonl"));
    const startedAt = wholeSeconds(new Date());
    using bench = new Bench({ home, module, transcript, startedAt, pins, rehearsal: true });
    await furnishTwin(bench, script);
  }
  const made = await perform({ ...request, home, pins, rehearsal: true }, script, {
    observer,
    head: {},
  });
  if (mode === "dry-run") return { transcript: "" };
  const text = await readFile(made, "utf8");
  verifyTranscript(text, { home, source: await readFile(request.script, "utf8") });
  await mkdir(join(request.home, "ceremony"), { recursive: true, mode: 0o700 });
  await durableWrite(path, text, 0o600);
  return { transcript: path };
}

async function requireRehearsal(home: string, script: Script): Promise<string> {
  const path = rehearsalPath(home, script);
  const text = await readFile(path, "utf8").catch(() => {
    throw new VaultRefused(
      `the ceremony ${script.ceremony} was not rehearsed: there is no ${path}; rehearse it first`,
    );
  });
  const { lines, headSha256 } = verifyTranscript(text);
  const head = lines[0]?.detail;
  if (head?.["rehearsal"] !== true || head["scriptSha256"] !== script.sha256) {
    throw new VaultRefused(
      `the script was changed since it was rehearsed: its SHA-256 is ${script.sha256}; rehearse it again`,
    );
  }
  return headSha256;
}

type Place = CeremonyRequest & { readonly rehearsal: boolean };

interface Conduct {
  readonly observer: Observer;
  readonly head: { readonly [name: string]: string };
}

async function perform(place: Place, script: Script, conduct: Conduct): Promise<string> {
  const { home, module, pins = {}, rehearsal } = place;
  const { observer } = conduct;
  const path = join(home, "ceremony", `${script.ceremony}.transcript.jsonl`);
  await mkdir(join(home, "ceremony"), { recursive: true, mode: 0o700 });
  if (existsSync(path)) await refuseOtherCeremony(path, place, script);
  else refuseWhatExists(home, script);
  using transcript = new Transcript(path, { clock: observer.clock, isThrownAway: rehearsal });
  await syncPath(join(home, "ceremony"));
  // Certificates and trust metadata hold whole seconds.
  const begun = () => wholeSeconds(observer.clock?.() ?? new Date()).toISOString();
  const head = transcript.once("ceremony", headOf(place, script), () => ({
    ...conduct.head,
    parameters: place.parameters,
    steps: script.steps.length,
    transcriptKey: script.transcriptKey,
    startedAt: begun(),
  }));
  const startedAt = new Date(String(head["startedAt"]));
  const trace = observer.call;
  using bench = new Bench({ home, module, transcript, startedAt, pins, trace, rehearsal });
  const progress = new Progress(
    join(home, "ceremony", `${script.ceremony}.state.json`),
    { sha256: script.sha256, steps: script.steps.length, isThrownAway: rehearsal },
    () => transcript.length,
    observer.persisted,
  );
  try {
    await performSteps(bench, script, { progress, observer });
    close(bench);
    await bench.syncTokens();
    transcript.end(script.transcriptKey, (message) =>
      bench.signUnrecorded(script.transcriptKey, message),
    );
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    await progress.send({ type: "STOP", reason });
    throw error;
  }
  await progress.send({ type: "SEALED" });
  // The seal was a use of the token, too.
  await bench.syncTokens();
  return path;
}

async function performSteps(
  bench: Bench,
  { steps }: Script,
  { progress, observer }: { progress: Progress; observer: Observer },
): Promise<void> {
  const { transcript } = bench;
  for (const [index, step] of steps.entries()) {
    const isDone = index < progress.done;
    transcript.replaying = isDone;
    if (!isDone) {
      observer.step?.(titleOf(step));
      await progress.send({ type: "BEGIN" });
    }
    transcript.enter(index + 1, { step: step.step, title: titleOf(step) });
    await performStep(bench, step);
    if (!isDone) await progress.send({ type: "EXECUTED" });
    transcript.once("checked", { number: index + 1 });
    if (!isDone) await progress.send({ type: "CHECKED" });
  }
  transcript.replaying = false;
  transcript.enter(0);
}

/** What is on the tokens now must be what was there, and what was made, without what was destroyed. */
function close(bench: Bench): void {
  const { transcript } = bench;
  for (const token of bench.tokens.keys()) {
    const objects = bench.inventory(token);
    const expected = expectedInventory(transcript.lines, token);
    if (objects.join("\n") !== expected.join("\n")) {
      const odd = [
        ...objects.filter((object) => !expected.includes(object)).map((it) => `unexpected ${it}`),
        ...expected.filter((object) => !objects.includes(object)).map((it) => `missing ${it}`),
      ];
      throw new VaultRefused(
        `the token "${token}" does not hold what it should: ${odd.join("; ")}`,
      );
    }
    transcript.once("inventory after", { token }, () => ({ objects }));
  }
}

function headOf({ rehearsal, module }: Place, { ceremony, sha256 }: Script) {
  return { name: ceremony, scriptSha256: sha256, rehearsal, module };
}

function wholeSeconds(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1_000) * 1_000);
}

async function refuseOtherCeremony(path: string, place: Place, script: Script): Promise<void> {
  const text = await readFile(path, "utf8");
  const end = text.trimEnd().split("\n").at(-1) ?? "";
  if (text.endsWith("\n") && end.includes(`"what":"${seal}"`)) {
    throw new VaultRefused(
      `${place.home} has been through the ceremony ${script.ceremony}, which is never repeated`,
    );
  }
  const [first = ""] = text.split("\n");
  const isSame =
    first.includes(`"scriptSha256":"${script.sha256}"`) &&
    first.includes(`"parameters":${JSON.stringify(place.parameters)}`);
  if (text.includes("\n") && !isSame) {
    throw new VaultRefused(
      `${path} is of a ceremony that was begun with another script or other parameters; it is gone on with only by those`,
    );
  }
}

function refuseWhatExists(home: string, script: Script): void {
  for (const output of script.steps.flatMap(outputsOf)) {
    const path = join(home, output);
    if (existsSync(path)) {
      throw new VaultRefused(`${path} exists already; a ceremony overwrites nothing`);
    }
  }
}
