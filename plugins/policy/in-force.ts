/** The policy that is in force: that of the section, or that of a file which is read again when it changes. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Malformed } from "../../core/formats/malformed.ts";
import { type Context, StartRefused } from "../../core/plugin.ts";
import { hashPolicy, type Policy } from "./document.ts";
import { compilePolicy, type Decide } from "./evaluate.ts";
import type { policy } from "./manifest.ts";
import { parsePolicy } from "./read.ts";

/** A policy with what is told of it. */
export interface Force {
  readonly decide: Decide;
  readonly version: string;
  readonly sha256: Uint8Array;
}

/** Keeps a policy in force. */
export interface InForce extends Disposable {
  readonly now: () => Force;
  /** Since when, and why, the file on the disk is not what is in force; null if it is. */
  readonly trouble: () => { readonly reason: string; readonly since: Date } | null;
}

type PolicyContext = Pick<
  Context<typeof policy.manifest.config>,
  "config" | "clock" | "journal" | "home"
>;

/** How often the file is looked at. */
const lookEveryMs = 1_000;

/** @throws {StartRefused} if there is no policy to begin with. */
export async function enforce({ config, clock, journal, home }: PolicyContext): Promise<InForce> {
  const { file, version, default: otherwise = "allow", issuers, rules } = config;
  if (file === undefined) {
    const only = force({ version, default: otherwise, issuers, rules });
    return { now: () => only, trouble: () => null, [Symbol.dispose]() {} };
  }
  const path = join(home(), file);
  let text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new StartRefused(`the policy ${path} cannot be read`, { cause });
  });
  let now = force(parseOrRefuse(path, text));
  let trouble: ReturnType<InForce["trouble"]> = null;
  let looking = false;

  const fail = (reason: string, cause?: unknown): void => {
    if (trouble?.reason !== reason) journal.error("policy-not-loaded", { path, reason, cause });
    trouble = { reason, since: trouble?.since ?? clock.now() };
  };
  const look = async (): Promise<void> => {
    try {
      const found = await readFile(path, "utf8");
      if (found === text && trouble === null) return;
      const next = force(parsePolicy(found));
      if (found !== text) {
        journal.info("policy-loaded", { version: next.version, sha256: next.sha256.toHex() });
      }
      [text, now, trouble] = [found, next, null];
    } catch (thrown) {
      // The policy before stays in force: a slip of the pen must neither open the door nor shut it.
      const why = thrown instanceof Malformed ? thrown.message : "it cannot be read";
      fail(`the policy file is broken, the one before is in force: ${why}`, thrown);
    }
  };
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().finally(() => (looking = false));
  }, lookEveryMs);
  timer.unref();
  return { now: () => now, trouble: () => trouble, [Symbol.dispose]: () => clearInterval(timer) };
}

function force(policy: Policy): Force {
  const { version } = policy;
  return { decide: compilePolicy(policy), version, sha256: hashPolicy(policy) };
}

function parseOrRefuse(path: string, text: string): Policy {
  try {
    return parsePolicy(text);
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new StartRefused(`the policy ${path} is broken: ${cause.message}`, { cause });
  }
}
