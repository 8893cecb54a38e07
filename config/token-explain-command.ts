/**
 * `chancery token explain`: why a token is accepted or not, by the configuration and the policy of the home. The token is read from a
 * file, never an argument.
 */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { plain } from "../plugins/audit/commands.ts";
import {
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { explain, type Explained } from "../plugins/identity/commands.ts";
import { compilePolicy, lineOfEntry, lineOfRule } from "../plugins/policy/commands.ts";
import { loadHome } from "./load.ts";
import { fromHome, readOwnPolicy } from "./own-policy.ts";

/** Ends with 1 if the token would not get a certificate. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: ["FILE"], values: [], switches: ["json"] });
  const token = await readToken(parsed.operands[0] ?? "", terminal);
  const home = resolve(terminal.folder, terminal.environment["CHANCERY_HOME"] || ".chancery");
  const { config, fetch } = await fromHome(async () => await loadHome(home));
  const explained = await explain(token, { section: config["identity"], home, fetch });
  const { checks, certificate, hints, issuerUrl, ...rest } = explained.explanation;
  const decided = await decide(explained, home);
  const accepted = rest.accepted && decided.verdict === "passed";
  const line = issuerUrl === null ? null : await issuerLine(home, issuerUrl);
  const told = {
    accepted,
    checks: [...checks, { name: "the policy", verdict: decided.verdict, detail: decided.detail }],
    certificate,
    hints: [
      ...hints.map((hint) => (line === null ? hint : `config.yaml:${line}, ${hint}`)),
      ...decided.hints,
    ],
  };
  if (parsed.has("json")) terminal.print(JSON.stringify(told));
  else {
    for (const { name, verdict, detail } of told.checks) {
      terminal.print(plain(`${verdict.padEnd(11)}  ${name}${detail === "" ? "" : `: ${detail}`}`));
    }
    for (const { what, value } of certificate) terminal.print(plain(`  ${what}: ${value}`));
    for (const hint of told.hints) terminal.print(plain(`look at ${hint}`));
    terminal.print(accepted ? "ACCEPTED" : "REFUSED");
  }
  return accepted ? exitCodes.ok : exitCodes.failed;
}

interface Decided {
  readonly verdict: "passed" | "failed" | "not reached";
  readonly detail: string;
  readonly hints: readonly string[];
}

/** What the policy says now, but for its limits: how often somebody came is known to the running service alone. */
async function decide({ believed }: Explained, home: string): Promise<Decided> {
  if (believed === null) return { verdict: "not reached", detail: "", hints: [] };
  const { policy, name, text, section } = await readOwnPolicy(home);
  const { principal, assurance, issuer, claims } = believed;
  const { allowed, rule, reason } = compilePolicy(policy)({
    provider: issuer.recorded.provider,
    principal,
    claims: { ...claims },
    assurance,
    atMs: BigInt(Date.now()),
  });
  const detail = `version ${policy.version}, rule ${rule}: ${reason}`;
  if (allowed === true) return { verdict: "passed", detail, hints: [] };
  const line = lineOfRule(text, { rule, oidcIssuer: principal.oidcIssuer }, section);
  const where = line === null ? `${name}, which says nothing of a default` : `${name}:${line}`;
  return { verdict: "failed", detail, hints: [`${where}, rule ${rule}`] };
}

async function issuerLine(home: string, value: string): Promise<number | null> {
  const text = await readFile(join(home, "config.yaml"), "utf8");
  return lineOfEntry(text, ["identity", "issuers"], { name: "issuerUrl", value });
}

async function readToken(file: string, terminal: Terminal): Promise<string> {
  try {
    return (await readFile(resolve(terminal.folder, file), "utf8")).trim();
  } catch (cause) {
    throw new CommandError(exitCodes.environment, "the token's file cannot be read", { cause });
  }
}
