/** Asks the openssl command line, the oracle of these tests. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What openssl said. */
export interface Said {
  readonly status: number | null;
  readonly output: string;
  /** Every file in the folder afterwards. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Runs openssl in a folder that holds `files`; both its outputs together. */
export function openssl(
  files: { readonly [name: string]: Uint8Array | string },
  ...parameters: readonly string[]
): Said {
  const directory = mkdtempSync(join(tmpdir(), "chancery-openssl-"));
  try {
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(directory, name), content);
    }
    const run = spawnSync("openssl", parameters, { cwd: directory, encoding: "utf8" });
    const left = readdirSync(directory).map(
      (name) => [name, new Uint8Array(readFileSync(join(directory, name)))] as const,
    );
    return { status: run.status, output: run.stdout + run.stderr, files: new Map(left) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
