/** A folder for what is made once in a run and used by several test files; it goes when the run ends. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const variable = "CHANCERY_TEST_RUN";
const pollMs = 50;

/** Vitest calls this before the first test file, in the process that starts all workers; what it returns, after the last. */
export function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "chancery-test-run-"));
  writeFileSync(join(folder, "pid"), String(process.pid));
  process.env[variable] = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}

/** Its path. */
export function runFolder(): string {
  const folder = process.env[variable];
  if (folder === undefined)
    throw new Error(`${variable} is not set: vitest was started without its configuration`);
  return folder;
}

/** The process that lives as long as the run. */
export function runPid(): number {
  return Number(readFileSync(join(runFolder(), "pid"), "utf8"));
}

/**
 * The folder `name`, which `make` fills for whoever asks first; the others wait. If that fails it fails for all of them.
 *
 * @throws with the reason that the first had
 */
export async function oncePerRun(
  name: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(runFolder(), name);
  const [done, failed] = [`${folder}.done`, `${folder}.failed`];
  if (isFirst(folder)) {
    try {
      await make(folder);
      announce(done, "");
    } catch (reason) {
      announce(failed, String(reason));
    }
  }
  while (!existsSync(done)) {
    if (existsSync(failed)) throw new Error(`${name}: ${readFileSync(failed, "utf8")}`);
    await sleep(pollMs);
  }
  return folder;
}

/** True for the one process that makes the folder. */
function isFirst(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch {
    return false;
  }
}

/** Whole or not at all: others look for it meanwhile. */
function announce(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}
