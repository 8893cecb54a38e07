/** `chancery policy show|test|diff|lint|schema`: what a policy says, before it says it to anybody. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Malformed } from "../core/formats/malformed.ts";
import { MissingPartition } from "../core/storage.ts";
import { type PastDecision, plain, readDecisions } from "../plugins/audit/commands.ts";
import {
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { claimVocabulary } from "../plugins/identity/commands.ts";
import {
  type Change,
  compilePolicy,
  diffPolicies,
  type Doubt,
  hashPolicy,
  lintPolicy,
  parseCase,
  parseCases,
  parsePolicy,
  type Policy,
  policyJsonSchema,
  redecide,
  type Redecided,
  runCases,
} from "../plugins/policy/commands.ts";
import { openStorage, readConfiguration } from "./load.ts";
import { fromHome, readOwnPolicy } from "./own-policy.ts";

/** `chancery policy show`: the policy of the home, as its next start or its next look at the file takes it. */
export async function show(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: [], values: [], switches: ["json"] });
  const shown = await readOwn(terminal);
  const sha256 = hashPolicy(shown).toHex();
  const doubts = await doubtsOf(shown, terminal);
  if (parsed.has("json")) {
    terminal.print(JSON.stringify({ sha256, policy: shown, doubts }));
    return exitCodes.ok;
  }
  terminal.print(`policy ${shown.version}, sha256 ${sha256}`);
  for (const { id, effect, reason } of shown.rules) {
    terminal.print(`  ${effect.padEnd(5)} ${id}: ${plain(reason)}`);
  }
  for (const [issuer, effect] of Object.entries(shown.issuers)) {
    terminal.print(`  ${effect.padEnd(5)} whatever else is of ${plain(issuer)}`);
  }
  terminal.print(`  ${shown.default.padEnd(5)} everything else`);
  tellDoubts(doubts, terminal);
  return exitCodes.ok;
}

/** `chancery policy test FILE`. */
export async function test(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const grammar = { operands: ["FILE"], values: ["case", "cases"], switches: ["json"] };
  const parsed = parseArguments(args, grammar);
  const [single, table] = [parsed.value("case"), parsed.value("cases")];
  if ((single === undefined) === (table === undefined)) {
    throw new CommandError(exitCodes.usage, "give either --case REQUEST or --cases FILE");
  }
  const tested = await readPolicy(parsed.operands[0] ?? "", terminal);
  const doubts = await doubtsOf(tested, terminal);
  // What is doubtful may be why a case is not as expected; standard output says how the cases went, and no more.
  if (!parsed.has("json")) for (const doubt of doubts) terminal.complain(wordOf(doubt));
  if (single !== undefined) {
    const verdict = compilePolicy(tested)(refusing("--case", () => parseCase(single)));
    const word = verdict.allowed === true ? "allow" : "deny";
    if (parsed.has("json")) terminal.print(JSON.stringify({ ...verdict, doubts }));
    else terminal.print(`${word}, by ${verdict.rule}: ${verdict.reason}`);
    return verdict.allowed === true ? exitCodes.ok : exitCodes.failed;
  }
  const file = table ?? "";
  const text = await readText(file, terminal);
  const outcomes = runCases(
    tested,
    refusing(file, () => parseCases(text)),
  );
  const wrong = outcomes.filter((outcome) => outcome.wrong !== null);
  if (parsed.has("json")) {
    const counts = { cases: outcomes.length, wrong: wrong.length };
    terminal.print(JSON.stringify({ ...counts, outcomes, doubts }));
  } else {
    for (const outcome of wrong) terminal.print(`WRONG ${plain(outcome.name)}: ${outcome.wrong}`);
    terminal.print(`${outcomes.length} cases, ${wrong.length} wrong`);
  }
  return wrong.length === 0 ? exitCodes.ok : exitCodes.failed;
}

/** `chancery policy lint FILE`. */
export async function lint(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: ["FILE"], values: [], switches: ["json"] });
  const linted = await readPolicy(parsed.operands[0] ?? "", terminal);
  const doubts = await doubtsOf(linted, terminal);
  if (parsed.has("json")) terminal.print(JSON.stringify({ doubts }));
  else tellDoubts(doubts, terminal);
  if (doubts.length === 0 && !parsed.has("json")) {
    const { length } = linted.rules;
    terminal.print(`${length} ${length === 1 ? "rule" : "rules"}, no doubts`);
  }
  return doubts.length === 0 ? exitCodes.ok : exitCodes.failed;
}

/** `chancery policy diff OLD NEW`. */
export async function diff(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const switches = ["against-records", "json"];
  const parsed = parseArguments(args, { operands: ["OLD", "NEW"], values: [], switches });
  const [older = "", newer = ""] = parsed.operands;
  const before = await readPolicy(older, terminal);
  const after = await readPolicy(newer, terminal);
  const changes = diffPolicies(before, after);
  const past = parsed.has("against-records") ? await decisionsOf(terminal) : null;
  const others = past === null ? [] : redecide(before, after, past);
  if (parsed.has("json")) {
    const decisions = past === null ? {} : { decisions: past.length, changed: others.map(jsonOf) };
    terminal.print(JSON.stringify({ changes, ...decisions }));
  } else {
    for (const change of changes) terminal.print(lineOf(change));
    if (changes.length === 0) terminal.print("The policies say the same.");
    if (past !== null) tellDecisions(past.length, others, terminal);
  }
  return changes.length === 0 ? exitCodes.ok : exitCodes.failed;
}

/** `chancery policy schema`. */
export async function schema(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  parseArguments(args, { operands: [], values: [], switches: [] });
  await Promise.resolve();
  terminal.print(policyJsonSchema().trimEnd());
  return exitCodes.ok;
}

function tellDoubts(doubts: readonly Doubt[], terminal: Terminal): void {
  for (const doubt of doubts) terminal.print(wordOf(doubt));
}

function wordOf({ rule, lint: kind, text }: Doubt): string {
  return plain(`doubt: rule ${rule}: ${text} (${kind})`);
}

/** With the providers of the home, if there is one, as what rules can be about; else those that are shipped. */
async function doubtsOf(policy: Policy, terminal: Terminal): Promise<readonly Doubt[]> {
  const home = homeOf(terminal);
  if (!existsSync(join(home, "config.yaml"))) {
    return lintPolicy(policy, { providers: await claimVocabulary(null) });
  }
  const { sections } = await fromHome(async () => await readConfiguration(home));
  const installed = { section: sections["identity"] ?? {}, home };
  return lintPolicy(policy, { providers: await claimVocabulary(installed) });
}

function lineOf({ what, name, before, after }: Change): string {
  const texts = [before, after].flatMap((one) => one ?? []).join(" -> ");
  return `${what.padEnd(7)} ${plain(name)}: ${plain(texts)}`;
}

/** Of the past decisions that are named one by one. */
const named = 50;

function tellDecisions(
  count: number,
  others: readonly Redecided<PastDecision>[],
  terminal: Terminal,
): void {
  const known = others.filter(({ before, after }) => before !== null && after !== null);
  const open = others.length - known.length;
  terminal.print(
    `Of ${count} decisions on record, ${known.length} would be others and ${open} hang on claims that no record keeps.`,
  );
  for (const { of, after, ruleBefore, ruleAfter } of known.slice(0, named)) {
    const { at, oidcIssuer = "", san = "" } = of.record;
    const now = after === true ? "allowed" : "refused";
    const who = plain(`${san} of ${oidcIssuer}`);
    terminal.print(`  ${at} ${who}: now ${now} by ${ruleAfter}, before by ${ruleBefore}`);
  }
  if (known.length > named) terminal.print(`  and ${known.length - named} more`);
}

function jsonOf({ of, ...decided }: Redecided<PastDecision>) {
  const { at, oidcIssuer, san, requestId } = of.record;
  return { at, oidcIssuer, san, requestId, ...decided };
}

async function decisionsOf(terminal: Terminal) {
  await using storage = await openStorage(homeOf(terminal));
  try {
    const past = [];
    for await (const of of readDecisions(await storage.openReader("audit"))) {
      const { provider, principal, assurance, atMs } = of;
      past.push({ of, request: { provider, principal, assurance, atMs, claims: null } });
    }
    return past;
  } catch (thrown) {
    if (!(thrown instanceof MissingPartition)) throw thrown;
    const message = `${homeOf(terminal)} has no audit trail; set CHANCERY_HOME`;
    throw new CommandError(exitCodes.environment, message, { cause: thrown });
  }
}

async function readOwn(terminal: Terminal): Promise<Policy> {
  return (await readOwnPolicy(homeOf(terminal))).policy;
}

async function readPolicy(file: string, terminal: Terminal): Promise<Policy> {
  const text = await readText(file, terminal);
  return refusing(file, () => parsePolicy(text));
}

async function readText(file: string, { folder }: Terminal): Promise<string> {
  try {
    return await readFile(resolve(folder, file), "utf8");
  } catch (cause) {
    throw new CommandError(exitCodes.environment, `${file} cannot be read`, { cause });
  }
}

/** What is malformed is named with the place it came from. */
function refusing<T>(where: string, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    throw new CommandError(exitCodes.failed, `${where}: ${thrown.message}`, { cause: thrown });
  }
}

function homeOf({ folder, environment }: Terminal): string {
  return resolve(folder, environment["CHANCERY_HOME"] || ".chancery");
}
