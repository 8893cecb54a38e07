/**
 * Loaded into supervisors by `NODE_OPTIONS`: their children, like every other program of a test, keep what their sources were compiled
 * to. Nothing else about them is otherwise than in a user's instance.
 */
import childProcess from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import { promisify } from "node:util";

const { spawn, execFile } = childProcess;
const kept = { NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] };
const executed = promisify(execFile);

interface Options {
  readonly env?: NodeJS.ProcessEnv;
}
/** Whoever gets no environment of its own inherits this process's. */
const keeping = (options: Options = {}): Options =>
  options.env === undefined ? options : { ...options, env: { ...options.env, ...kept } };

Object.assign(childProcess, {
  spawn: (command: string, args: readonly string[], options?: Options) =>
    spawn(command, args, keeping(options)),
  execFile: Object.assign((...asked: Parameters<typeof execFile>) => execFile(...asked), {
    [promisify.custom]: async (command: string, args: readonly string[], options?: Options) =>
      await executed(command, args, keeping(options)),
  }),
});
syncBuiltinESMExports();
