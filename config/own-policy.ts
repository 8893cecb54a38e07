/** The policy of a home, as its next start or its next look at the file takes it, and where it stands. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { Malformed } from "../core/formats/malformed.ts";
import { CompositionError } from "../core/graph.ts";
import { CommandError, exitCodes } from "../plugins/client/commands.ts";
import { parsePolicy, type Policy } from "../plugins/policy/commands.ts";
import { policy } from "../plugins/policy/manifest.ts";
import { readConfiguration } from "./load.ts";

/** A policy and the text it was read from. */
export interface OwnPolicy {
  readonly policy: Policy;
  /** Of the file, below the home. */
  readonly name: string;
  readonly text: string;
  /** Where in the text the policy stands: a section, or all of it. */
  readonly section: readonly string[];
}

/** @throws {CommandError} naming what cannot be read. */
export async function readOwnPolicy(home: string): Promise<OwnPolicy> {
  return await fromHome(async () => {
    const { sections } = await readConfiguration(home);
    const section = v.parse(policy.manifest.config, sections["policy"] ?? {});
    if (section.file !== undefined) {
      const name = section.file;
      const text = await read(home, name);
      return { policy: parse(name, text), name, text, section: [] };
    }
    const { version, default: otherwise = "allow", issuers, rules } = section;
    const text = await read(home, "config.yaml");
    const own = { version, default: otherwise, issuers, rules };
    return { policy: own, name: "config.yaml", text, section: ["policy"] };
  });
}

/** What a broken configuration says is for whoever called the command. */
export async function fromHome<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof CompositionError) && !(thrown instanceof v.ValiError)) throw thrown;
    throw new CommandError(exitCodes.environment, thrown.message, { cause: thrown });
  }
}

async function read(home: string, name: string): Promise<string> {
  try {
    return await readFile(join(home, name), "utf8");
  } catch (cause) {
    throw new CommandError(exitCodes.environment, `${name} cannot be read`, { cause });
  }
}

function parse(name: string, text: string): Policy {
  try {
    return parsePolicy(text);
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    throw new CommandError(exitCodes.failed, `${name}: ${thrown.message}`, { cause: thrown });
  }
}
