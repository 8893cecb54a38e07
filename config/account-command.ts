/** `chancery account`. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Arguments, CommandError, parseArguments } from "../plugins/client/commands.ts";
import { type ExitCode, exitCodes, type Terminal } from "../plugins/client/commands.ts";
import {
  AccountRefused,
  addAccount,
  changePassword,
  readAccounts,
  removeAccount,
} from "../plugins/idp/commands.ts";
import { readPassword } from "./password.ts";

const actions: {
  readonly [name: string]: (home: string, parsed: Arguments) => Promise<object>;
} = { add, remove, list, passwd };

/** Changes who may sign in with a password; a running instance sees it with the next sign-in. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [name = "", ...rest] = args;
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (action === undefined) {
    throw new CommandError(exitCodes.usage, "say add, remove, passwd or list");
  }
  const home = resolve(terminal.folder, terminal.environment["CHANCERY_HOME"] || ".chancery");
  if (!existsSync(join(home, "instance.json"))) {
    throw new CommandError(exitCodes.environment, `no Chancery instance lives at ${home}`);
  }
  const parsed = parseArguments(rest, {
    operands: name === "list" ? [] : ["EMAIL"],
    values: name === "add" || name === "passwd" ? ["password-fd"] : [],
    switches: ["json"],
  });
  try {
    const result = await action(home, parsed);
    if (parsed.has("json")) terminal.print(JSON.stringify(result));
    else for (const line of Object.values(result).flat() as string[]) terminal.print(line);
    return exitCodes.ok;
  } catch (cause) {
    if (!(cause instanceof AccountRefused)) throw cause;
    throw new CommandError(exitCodes.failed, cause.message, { cause });
  }
}

async function add(home: string, parsed: Arguments) {
  const [email = ""] = parsed.operands;
  await addAccount(home, email, await readPassword(email, parsed.value("password-fd")));
  return { added: email };
}

async function passwd(home: string, parsed: Arguments) {
  const [email = ""] = parsed.operands;
  await changePassword(home, email, await readPassword(email, parsed.value("password-fd")));
  return { changed: email };
}

async function remove(home: string, { operands: [email = ""] }: Arguments) {
  await removeAccount(home, email);
  return { removed: email };
}

async function list(home: string) {
  return { accounts: (await readAccounts(home)).map(({ email }) => email) };
}
