/** Starting the CLI by its launcher against a box, as its users do. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BoxServices, boxServices } from "./box-services.ts";

const launcher = new URL("../../chancery", import.meta.url).pathname;

/** The OIDC issuer that the box's certificates name. */
export const issuer = "http://localhost/oidc";

/** The flags that demand the signer of {@link startCli}'s bundle. */
export const alice: readonly string[] = [
  "--certificate-identity",
  "alice@example.com",
  "--certificate-oidc-issuer",
  issuer,
];

/** What a command left behind. */
interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A box with the CLI in front of it. */
export interface Cli extends BoxServices {
  readonly chancery: (...args: readonly string[]) => Promise<Finished>;
  readonly start: (
    args: readonly string[],
    environment: { readonly [name: string]: string },
    input?: string,
  ) => Promise<Finished>;
}

/** A box whose folder holds `a.txt` with alice's bundle `a.json`, `b.txt`, `empty` and `predicate.json`. */
export async function startCli(): Promise<Cli> {
  const box = await boxServices();
  const start: Cli["start"] = async (args, environment, input = "") =>
    await new Promise((resolve) => {
      const env = { PATH: process.env["PATH"] ?? "", CHANCERY_HOME: box.home, ...environment };
      const options = { cwd: box.folder, env, timeout: 240_000 };
      const child = execFile(launcher, args, options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, stdout, stderr });
      });
      child.stdin?.end(input);
    });
  const chancery: Cli["chancery"] = async (...args) => await start(args, {});
  await writeFile(join(box.folder, "a.txt"), "what is signed\n");
  await writeFile(join(box.folder, "b.txt"), "something else\n");
  await writeFile(join(box.folder, "empty"), "");
  await writeFile(join(box.folder, "predicate.json"), '{"built":true}');
  const signed = await chancery(
    "sign",
    "a.txt",
    "--demo-email",
    "alice@example.com",
    "--bundle",
    "a.json",
  );
  if (signed.code !== 0) throw new Error(`the box cannot sign: ${signed.stderr}`);
  box.behaviour.seen.length = 0;
  return { ...box, chancery, start };
}
