/**
 * Ports for tests. Asking the kernel for a free port and closing it again hands the same port to two askers now and then, and an
 * outgoing connection may take it in between; so ports come from below the range of outgoing connections, and each is held by a
 * file for as long as the process that took it lives.
 */
import { mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isPortFree } from "../../deploy/ports.ts";

const lowest = 15_000;
const highest = 19_999;
const attempts = 1_000;

/** A TCP port of the loopback address that is free, and that no other test process is given while `holder` lives. */
export async function freePort(holder = process.pid): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest + 1));
    if (isTaken(port, holder) && (await isPortFree(port))) return port;
  }
  throw new Error(`no free port between ${lowest} and ${highest} in ${attempts} attempts`);
}

/** Whether this call took the port's file: nobody held it, or its holder is gone. */
function isTaken(port: number, holder: number): boolean {
  const directory = join(tmpdir(), "chancery-ports");
  mkdirSync(directory, { recursive: true });
  const file = join(directory, String(port));
  try {
    writeFileSync(file, String(holder), { flag: "wx" });
    return true;
  } catch {
    if (isHeldByTheDead(file)) free(file);
    return false;
  }
}

/** Forgets a holder that is gone, for whoever tries the port next; one at a time, or the second would forget the next holder. */
function free(file: string): void {
  const lock = `${file}.lock`;
  try {
    mkdirSync(lock);
  } catch {
    return;
  }
  if (isHeldByTheDead(file)) rmSync(file, { force: true });
  rmdirSync(lock);
}

function isHeldByTheDead(file: string): boolean {
  try {
    const holder = Number(readFileSync(file, "utf8"));
    if (holder > 0) process.kill(holder, 0);
    return false;
  } catch (reason) {
    return reason instanceof Error && "code" in reason && reason.code === "ESRCH";
  }
}
