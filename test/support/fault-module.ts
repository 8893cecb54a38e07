/** The PKCS#11 module that injects faults (test/fault/p11-fault-shim.c), compiled once a process. Needs gcc and libp11-kit-dev. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { softHsmModule } from "./vault.ts";

/** A module with faults that can be switched on and off. */
export interface FaultModule {
  /** Path of the library. */
  readonly path: string;
  /** The environment that it reads, for other processes. */
  readonly environment: { readonly [name: string]: string };
  /** Sets the rules, one a line: `C_Sign rv=0x30 *`. */
  readonly inject: (...rules: readonly string[]) => void;
  /** Signatures that the real module made since the library was loaded. */
  readonly count: () => number;
}

/** Compiles the module and points this process's environment at its files. */
export function faultModule(): FaultModule {
  const directory = mkdtempSync(join(tmpdir(), "chancery-p11-fault-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, "libp11fault.so");
  const source = new URL("../fault/p11-fault-shim.c", import.meta.url).pathname;
  const headers = "/usr/include/p11-kit-1/p11-kit";
  if (!existsSync(join(headers, "pkcs11.h"))) {
    throw new Error("pkcs11.h is missing: install the Debian package libp11-kit-dev");
  }
  const flags = ["-O2", "-shared", "-fPIC", "-pthread", `-I${headers}`];
  execFileSync("gcc", [...flags, "-o", path, source, "-ldl"]);
  const environment = {
    P11_REAL: softHsmModule,
    P11_FAULT: join(directory, "faults.txt"),
    P11_COUNT: join(directory, "count.txt"),
  };
  writeFileSync(environment.P11_FAULT, "");
  Object.assign(process.env, environment);
  return {
    path,
    environment,
    inject: (...rules) => writeFileSync(environment.P11_FAULT, rules.map((r) => `${r}\n`).join("")),
    count: () =>
      existsSync(environment.P11_COUNT) ? Number(readFileSync(environment.P11_COUNT, "utf8")) : 0,
  };
}
