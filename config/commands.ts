/** Every command of the CLI, in the order `--help` shows them. Nothing is loaded but the command that is called. */
import {
  type Command,
  CommandError,
  type ExitCode,
  type Terminal,
  clientCommands,
  exitCodes,
} from "../plugins/client/commands.ts";

export type { Command, ExitCode, Reason, Terminal } from "../plugins/client/commands.ts";
export { CommandError, exitCodes } from "../plugins/client/commands.ts";

const policyCommands = {
  show: { summary: "show the policy of the home: who may have a certificate", usage: ["[--json]"] },
  test: {
    summary: "try a policy on one request, or on a table of cases",
    usage: [
      "FILE --case REQUEST [--json]   YAML: {issuer: URL, san: NAME, claims: {...}, at: TIME, ...}",
      "FILE --cases FILE [--json]     YAML: a list of {name, request, expect: allow|deny, rule}",
      "ends with 1 if the request is refused, or a case is not as expected",
    ],
  },
  diff: {
    summary: "show what changes from one policy to another",
    usage: [
      "OLD NEW [--json]",
      "[--against-records]   also which decisions of the audit trail would be others",
      "ends with 1 if something changes",
    ],
  },
  lint: { summary: "find rules that cannot decide anything", usage: ["FILE [--json]"] },
  schema: { summary: "print the JSON Schema of policy files, for editors", usage: [""] },
} as const;

const roomCommands: readonly Command[] = [
  {
    name: "fsck",
    summary: "recompute every log from storage and check checkpoints, guard and ledger",
    usage: [
      "[--json]",
      "[--deep]  also read the logs' indices backwards, for what leads to no entry",
    ],
    load: async () => await import("./fsck-command.ts"),
  },
  {
    name: "log repair",
    summary: "make a log's tiles and indices anew from its entries, with the instance stopped",
    usage: ["LOG [--json]", "never touches entries, heads, promises, or what the vault keeps"],
    load: async () => await import("./log-repair-command.ts"),
  },
  {
    name: "storage",
    summary: "copy everything a stopped instance keeps to another storage, and compare",
    usage: ['copy FILE [--json]   FILE holds the section "storage" of the configuration to be'],
    load: async () => await import("./storage-command.ts"),
  },
  {
    name: "who",
    summary: "say who is behind a file, a digest or a certificate, from the audit trail",
    usage: [
      "FILE|DIGEST|SERIAL [--json]   a file, or a certificate (PEM), or hex",
      "ends with 1 if nothing is known, or something is missing",
    ],
    load: async () => ({ run: (await import("./audit-command.ts")).who }),
  },
  {
    name: "what",
    summary: "say what an identity did: certificates, log entries, sign-ins, refusals",
    usage: [
      "IDENTITY --since TIME [--until TIME] [--issuer URL] [--json]",
      "TIME is 2026-11-01, 2026-11-01T08:00:00Z, or how long ago: 90m, 24h, 30d",
    ],
    load: async () => ({ run: (await import("./audit-command.ts")).what }),
  },
  {
    name: "search rebuild",
    summary: "make the search index of the running instance anew, in the background",
    usage: ["[--json]"],
    load: async () => await import("./search-command.ts"),
  },
  {
    name: "audit head",
    summary: "show how far the audit trail goes, and its hash",
    usage: ["[--json]"],
    load: async () => ({ run: (await import("./audit-command.ts")).head }),
  },
  {
    name: "audit refusals",
    summary: "list who was refused without having shown who they are, sign-ins too, by the second",
    usage: ["--since TIME [--until TIME] [--issuer URL] [--json]   TIME as for what"],
    load: async () => ({ run: (await import("./audit-command.ts")).refusals }),
  },
  ...(["show", "test", "diff", "lint", "schema"] as const).map((name) => ({
    name: `policy ${name}`,
    ...policyCommands[name],
    load: async () => ({ run: (await import("./policy-command.ts"))[name] }),
  })),
  {
    name: "ceremony",
    summary: "review, rehearse, perform and verify key ceremonies",
    usage: [
      "lint SCRIPT --parameters FILE [--json]",
      "rehearse SCRIPT --module LIBRARY --parameters FILE [--dry-run] [--json]",
      "perform SCRIPT --module LIBRARY --parameters FILE [--pin-fd TOKEN=N,...] [--json]",
      "verify TRANSCRIPT [--script FILE] [--key PEM] [--no-files] [--json]",
      "report TRANSCRIPT --out FILE [--key PEM]",
      "show [--json]   the transcript of the genesis",
    ],
    load: async () => await import("./ceremony-command.ts"),
  },
  {
    name: "operate",
    summary:
      "rotate the issuing CA, create, roll, freeze or retire a log, publish a TUF root, while it runs",
    usage: [
      "rotate-issuing-ca KEY [--algorithm ecdsa-p256|ecdsa-p384|rsa-3072|rsa-4096] [--common-name NAME] [--organization NAME] [--years N] [--hold-seconds N]",
      "create-log LOG --format rekor-v2|rekor-v1 --serve [--key LABEL] [--algorithm ecdsa-p256|ed25519] [--origin NAME]",
      "create-log LOG --format rfc6962 [--start TIME] [--end TIME]   the CT log's next shard",
      "roll-log LOG [--name NAME] [--key LABEL] [--algorithm ...] [--origin NAME]   a Rekor log's successor, without a pause",
      "freeze-log LOG [--without-successor]",
      "retire-log LOG   one that another has taken over from: its key signs nothing more and may be destroyed",
      "publish-root FILE [--json]   the next TUF root, which a ceremony left; opens no token",
      "abandon OPERATION   one that was begun and cannot go on",
      "all others with [--offline-token LABEL] [--pin-fd offline=N] [--json]",
    ],
    load: async () => await import("./operate-command.ts"),
  },
  {
    name: "log roll",
    summary: "let a new log take over from one of Rekor, while the instance runs",
    usage: [
      "LOG [--name NAME] [--key LABEL] [--algorithm ...] [--origin NAME]",
      "as chancery operate roll-log",
    ],
    load: async () => {
      const { run } = await import("./operate-command.ts");
      return { run: async (args, terminal) => await run(["roll-log", ...args], terminal) };
    },
  },
  {
    name: "tls",
    summary: "show the certificate of the TLS listener, make another, or use one of your own",
    usage: [
      "show [--json]",
      "renew [--names A,B] [--addresses A,B] [--days N] [--json]   by a new CA of its own; the same names unless said",
      "      [--replace]                                            one that was not made here, too",
      "use CERTIFICATE --key FILE [--authority FILE] [--json]      PEM; the door takes it within seconds",
    ],
    load: async () => await import("./tls-command.ts"),
  },
  {
    name: "account",
    summary: "say who may sign in with a password",
    usage: [
      "add EMAIL [--password-fd N] [--json]",
      "passwd EMAIL [--password-fd N] [--json]",
      "remove EMAIL [--json]",
      "list [--json]",
    ],
    load: async () => await import("./account-command.ts"),
  },
  {
    name: "provider",
    summary: "begin, review and try OIDC providers, shipped or of one's own",
    usage: [
      "list [--json]",
      "init FILE.yaml [--from-token FILE]   a provider and its vectors to begin with",
      "lint FILE|FOLDER [--vectors FILE] [--json]",
      "test FILE|FOLDER [--vectors FILE] [--json]   its vectors, and what is tried against every provider",
      "docs | schema   the documentation of those that are shipped, the schema of files",
    ],
    load: async () => await import("./provider-command.ts"),
  },
  {
    name: "token explain",
    summary:
      "tell step by step what the home's server makes of an ID token, and where that is configured",
    usage: ["FILE [--json]"],
    load: async () => await import("./token-explain-command.ts"),
  },
  {
    name: "timestamp confirm-clock",
    summary: "tell timestamp authority, issuing CA and logs that a clock which was set is right",
    usage: [""],
    load: async () => await import("./confirm-clock-command.ts"),
  },
];

/**
 * Runs the command that `args` call. `more` are commands that only the caller can offer.
 *
 * Never throws for what a command does on purpose: that is a message and an exit code.
 */
export async function runCommand(
  args: readonly string[],
  terminal: Terminal,
  more: readonly Command[] = [],
): Promise<ExitCode> {
  const commands = [...clientCommands, ...roomCommands, ...more];
  if (args.length === 0 || args[0] === "--help" || args[0] === "help") {
    (args.length === 0 ? terminal.complain : terminal.print)(overview(commands));
    return args.length === 0 ? exitCodes.usage : exitCodes.ok;
  }
  const called = find(args, commands);
  if (called === null) {
    terminal.complain(`chancery: unknown command "${args[0]?.slice(0, 64)}"; see chancery --help`);
    return exitCodes.usage;
  }
  const { command, rest } = called;
  const end = rest.indexOf("--");
  if (rest.slice(0, end < 0 ? rest.length : end).includes("--help")) {
    terminal.print(help(command));
    return exitCodes.ok;
  }
  try {
    return await (await command.load()).run(rest, terminal);
  } catch (thrown) {
    return report(thrown, command, rest, terminal);
  }
}

function find(
  args: readonly string[],
  commands: readonly Command[],
): { command: Command; rest: readonly string[] } | null {
  // "token explain" is asked before "token".
  const longestFirst = commands.toSorted((a, b) => wordsOf(b).length - wordsOf(a).length);
  for (const command of longestFirst) {
    const words = wordsOf(command);
    if (words.every((word, at) => args[at] === word)) {
      return { command, rest: args.slice(words.length) };
    }
  }
  return null;
}

function wordsOf({ name }: Command): readonly string[] {
  return name.split(" ");
}

/** Errors of formats and verification are named rather than imported: they are not ours to load. */
const verdicts: readonly string[] = ["NotVerified", "Malformed", "KeyInsecure"];
/** What a storage says that cannot be used now. */
const outages: readonly string[] = ["UnsafeStorage", "StorageUnreachable"];

function report(
  thrown: unknown,
  command: Command,
  rest: readonly string[],
  terminal: Terminal,
): ExitCode {
  const error = thrown instanceof Error ? thrown : new Error("unknown error");
  const isSaid = [...verdicts, ...outages].includes(error.name);
  const failed = outages.includes(error.name) ? exitCodes.environment : exitCodes.failed;
  const exitCode = error instanceof CommandError ? error.exitCode : failed;
  const message = isSaid || error instanceof CommandError ? error.message : internal(error);
  const reason = error instanceof CommandError ? error.reason : null;
  if (rest.includes("--json")) {
    terminal.print(JSON.stringify({ error: message, exitCode, ...(reason && { reason }) }));
  }
  const hint = exitCode === exitCodes.usage ? `; see chancery ${command.name} --help` : "";
  terminal.complain(`chancery ${command.name}: ${message}${hint}`);
  return exitCode;
}

/** Where it happened matters for a bug, the values do not: they may hold what must not be shown. */
function internal(error: Error): string {
  const where = error.stack?.split("\n").find((line) => line.includes("    at "));
  return `internal error (${error.name}), please report it${where === undefined ? "" : `:${where.slice(3)}`}`;
}

function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    "usage: chancery COMMAND [FLAGS]",
    "",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "The instance is the one in CHANCERY_HOME, by default .chancery in this folder.",
    "Exit codes: 0 ok, 1 verification or operation failed, 2 wrong usage, 3 something outside is missing.",
    "chancery COMMAND --help tells more.",
  ].join("\n");
}

function help({ name, summary, usage }: Command): string {
  const [first = "", ...more] = usage;
  const indent = " ".repeat(`usage: chancery ${name} `.length);
  return [
    `usage: chancery ${name} ${first}`,
    ...more.map((line) => indent + line),
    "",
    summary,
  ].join("\n");
}
