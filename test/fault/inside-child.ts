/**
 * Loaded into the vault and the services by `NODE_OPTIONS`: does to its own process what a file named after it says, when there is
 * one. It stands for defects that cannot be brought in from outside: a loop that blocks, a leak, an error that nobody handles.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";

const lookEveryMs = 50;
const folder = process.env["CHANCERY_FAULT_INSIDE"];

if (folder !== undefined && isMainThread) {
  const file = join(folder, String(process.pid));
  setInterval(() => {
    const command = take(file);
    if (command !== null) obey(command);
  }, lookEveryMs).unref();
}

function take(file: string): string | null {
  try {
    const command = readFileSync(file, "utf8").trim();
    if (command === "") return null;
    rmSync(file);
    return command;
  } catch {
    // There is none, as nearly always.
    return null;
  }
}

function obey(command: string): void {
  const [name = "", argument] = command.split(" ");
  switch (name) {
    case "block":
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(argument));
      return;
    case "heap":
      return fill();
    case "throw":
      throw new Error("a fault: an exception that nobody handles");
    case "reject":
      void Promise.reject(new Error("a fault: a rejection that nobody handles"));
      return;
    case "overflow":
      return void recur(0);
    default:
      throw new Error(`a fault that nobody knows: ${command}`);
  }
}

function fill(): void {
  const kept: unknown[] = [];
  for (;;) kept.push(Array.from({ length: 10_000 }, (_, index) => ({ index })));
}

function recur(depth: number): number {
  return recur(depth + 1) + 1;
}
