/**
 * An ext4 on a loop device whose write-back is off, so that its backing file holds what was fsynced and nothing else
 * (reliability.md, appendix D). Needs root. It is unmounted and the kernel's setting restored even if the program is interrupted.
 */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const writeBack = "/proc/sys/vm/dirty_writeback_centisecs";
/** The kernel's own value, for when we find the one that another run has set. */
const usualSetting = "500";

const prefix = "chancery-power-";

/** The disk. */
export interface VolatileDisk extends AsyncDisposable {
  readonly mount: string;
  /** Takes what a device would hold if the power went now. Every writer must be frozen. */
  cut(): Promise<void>;
  /** Mounts what the last {@link cut} took. Every writer must have ended. */
  restore(): Promise<void>;
}

/** Makes and mounts one. */
export async function volatileDisk(megabytes = 192): Promise<VolatileDisk> {
  await sweep();
  const folder = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`));
  const image = (number: number): string => join(folder, `${number}.img`);
  const mount = join(folder, "mnt");
  await mkdir(mount);
  await run("truncate", ["-s", `${megabytes}M`, image(0)]);
  await run("mkfs.ext4", ["-q", "-F", image(0)]);
  await run("mount", ["-o", "loop,commit=300", image(0), mount]);
  const setting = readFileSync(writeBack, "utf8").trim();
  let clean = false;
  const cleanUp = (): void => {
    if (clean) return;
    clean = true;
    writeFileSync(writeBack, setting === "0" ? usualSetting : setting);
    try {
      execFileSync("umount", ["-l", mount], { stdio: "ignore" });
    } catch {
      // Not mounted: a cut was under way.
    }
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", cleanUp);
  await run("sync", ["-f", mount]);
  writeFileSync(writeBack, "0");
  let current = 0;
  return {
    mount,
    async cut() {
      // Never a file that was mounted before: its loop device may linger, and give out what it remembers of older content.
      await copyWhole(image(current), image(current + 1));
    },
    async restore() {
      // The kernel closes a killed process's files a little after the process has gone.
      for (let tries = 0; !(await isUnmounted(mount)); tries++) {
        if (tries === 100) throw new Error(`${mount} cannot be unmounted: it stays in use`);
        await sleep(50);
      }
      rmSync(image(current));
      current++;
      await run("mount", ["-o", "loop,commit=300", image(current), mount]);
      // Another run on this machine may have put it back.
      writeFileSync(writeBack, "0");
    },
    async [Symbol.asyncDispose]() {
      cleanUp();
      process.off("exit", cleanUp);
      await Promise.resolve();
    },
  };
}

/**
 * Copies what a file holds at one instant. A power cut has one; a copy that takes longer, of a file that changes meanwhile (the
 * kernel's own journal thread is frozen by nobody), may pair an emptied journal with what it was emptied into before it was.
 */
async function copyWhole(from: string, to: string): Promise<void> {
  for (let tries = 0; tries < 20; tries++) {
    await run("cp", ["--sparse=always", from, to]);
    if (await isSame(from, to)) return;
  }
  throw new Error(`${from} changes all the time: its power cannot be cut`);
}

async function isSame(one: string, other: string): Promise<boolean> {
  return await run("cmp", ["-s", one, other]).then(
    () => true,
    () => false,
  );
}

/** Takes away what runs have left behind that were killed: an image that stays mounted keeps its space and its loop device. */
async function sweep(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = new RegExp(`^${prefix}([0-9]+)-`).exec(name)?.[1];
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
    const folder = join(tmpdir(), name);
    await run("umount", ["-l", join(folder, "mnt")]).catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
  }
}

async function isUnmounted(mount: string): Promise<boolean> {
  return await run("umount", [mount]).then(
    () => true,
    () => false,
  );
}
