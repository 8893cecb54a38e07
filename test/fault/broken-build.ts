/** A copy of this checkout with one promise broken, to see whether the fault machine notices. */
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const checkout = new URL("../../", import.meta.url).pathname;

/** What is replaced in a file; the text must be there. */
export interface Breakage {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** The copy. */
export function brokenBuild(
  breakages: readonly Breakage[],
): Disposable & { readonly root: string } {
  const root = mkdtempSync(join(tmpdir(), "chancery-broken-"));
  for (const name of [
    "chancery",
    "config",
    "core",
    "deploy",
    "events",
    "hsm",
    "package.json",
    "plugins",
  ]) {
    cpSync(join(checkout, name), join(root, name), { recursive: true });
  }
  symlinkSync(realpathSync(join(checkout, "node_modules")), join(root, "node_modules"));
  for (const { file, from, to } of breakages) {
    const text = readFileSync(join(root, file), "utf8");
    if (!text.includes(from)) throw new Error(`${file} does not hold: ${from}`);
    writeFileSync(join(root, file), text.replaceAll(from, to));
  }
  return { root, [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) };
}
