/**
 * Homes that genesis made once in a run. A home's ports are part of what its offline keys have signed, so whoever borrows one has its
 * ports for as long, and starts an instance on a copy; there are as many homes as were borrowed at once.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isPortFree } from "../../deploy/ports.ts";
import { type Place, runStart } from "./instance.ts";
import { freePort } from "./ports.ts";
import { oncePerRun, runFolder, runPid } from "./run-folder.ts";

/** More than any run borrows at once. */
const most = 16;

/** A place with an instance that has been started once and stopped; `remove` deletes its parent folder and gives its ports back. */
export async function preparedPlace(): Promise<Place & { readonly remove: () => Promise<void> }> {
  const { made, ports, giveBack } = await borrow();
  const folder = await mkdtemp(join(tmpdir(), "chancery-"));
  const home = join(folder, "home");
  await cp(join(made, "home"), home, { recursive: true });
  const remove = async (): Promise<void> => {
    await rm(folder, { recursive: true, force: true });
    giveBack();
  };
  return { home, ...ports, remove };
}

interface Ports {
  readonly port: number;
  readonly tlsPort: number;
}

/** The first home that nobody has borrowed; whoever dies with one keeps it. */
async function borrow() {
  for (let number = 0; number < most; number++) {
    const lease = join(runFolder(), `home-${number}.lease`);
    if (!isMine(lease)) continue;
    const made = await oncePerRun(`home-${number}`, make);
    // It is ours, and this is what `make` wrote.
    const ports = JSON.parse(readFileSync(join(made, "ports.json"), "utf8")) as Ports;
    const free = await Promise.all([ports.port, ports.tlsPort].map(isPortFree));
    if (free.includes(false)) continue;
    return { made, ports, giveBack: () => rmSync(lease, { force: true }) };
  }
  throw new Error(`more than ${most} prepared homes are borrowed at once`);
}

function isMine(lease: string): boolean {
  try {
    writeFileSync(lease, String(process.pid), { flag: "wx" });
    return true;
  } catch {
    return false;
  }
}

async function make(folder: string): Promise<void> {
  const ports: Ports = { port: await freePort(runPid()), tlsPort: await freePort(runPid()) };
  const { code, stderr } = await runStart({ home: join(folder, "home"), ...ports });
  if (code !== 0) throw new Error(`no instance could be made: ${stderr}`);
  await writeFile(join(folder, "ports.json"), JSON.stringify(ports));
}
