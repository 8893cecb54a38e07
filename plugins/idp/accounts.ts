/**
 * Local accounts: one file of the home, which only its owner reads. Operators change it with `chancery account`; a running sign-in
 * sees a change with the next attempt.
 */
import { randomUUID } from "node:crypto";
import { open, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { durableWrite } from "../../core/durable.ts";
import { isEmailAddress } from "../../core/formats/email.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { parseJson } from "../../core/formats/json.ts";
import { hashPassword } from "./password.ts";

const account = v.strictObject({
  /** What tokens call it (`sub`): never given to anybody else, also after the address has been. */
  id: v.pipe(v.string(), v.uuid()),
  email: v.pipe(v.string(), v.check(isEmailAddress, "not an e-mail address")),
  password: v.pipe(v.string(), v.maxLength(256)),
  changedAt: v.pipe(v.string(), v.isoTimestamp()),
});
const accountFile = v.strictObject({
  version: v.literal(1),
  accounts: v.pipe(v.array(account), v.maxLength(1_000)),
});

/** Somebody who signs in with a password. */
export type Account = v.InferOutput<typeof account>;

/** What an account may not be changed for. */
export class AccountRefused extends Error {
  override readonly name = "AccountRefused";
}

/** Where the accounts are, below the home. */
export const accountsPath = "secrets/accounts.json";
const minPasswordLength = 12;
const maxPasswordLength = 1_024;

/** All accounts of a home; none if there is no file. @throws {AccountRefused} if the file is damaged */
export async function readAccounts(home: string): Promise<readonly Account[]> {
  const path = join(home, accountsPath);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (text === null) return [];
  try {
    return v.parse(accountFile, parseJson(text)).accounts;
  } catch (cause) {
    throw new AccountRefused(`${path} is damaged; put it back from a backup`, { cause });
  }
}

/** Adds an account. @throws {AccountRefused} */
export async function addAccount(home: string, email: string, password: string): Promise<void> {
  if (!isEmailAddress(email)) throw new AccountRefused(`"${email}" is not an e-mail address`);
  const hash = await hashNew(password);
  await change(home, (accounts) => {
    if (find(accounts, email)) throw new AccountRefused(`${email} has an account already`);
    return [...accounts, { id: randomUUID(), email, password: hash, changedAt: now() }];
  });
}

/** Removes an account; its identifier is not used again. @throws {AccountRefused} */
export async function removeAccount(home: string, email: string): Promise<void> {
  await change(home, (accounts) => {
    const found = existing(accounts, email);
    return accounts.filter((one) => one !== found);
  });
}

/** Gives an account another password. @throws {AccountRefused} */
export async function changePassword(home: string, email: string, password: string): Promise<void> {
  const hash = await hashNew(password);
  await change(home, (accounts) => {
    const found = existing(accounts, email);
    const changed = { ...found, password: hash, changedAt: now() };
    return accounts.map((one) => (one === found ? changed : one));
  });
}

/** The account of an address, in whatever case that is typed. */
export function find(accounts: readonly Account[], email: string): Account | undefined {
  return accounts.find((one) => one.email.toLowerCase() === email.toLowerCase());
}

/** Reads accounts again only when their file has changed. */
export function accountReader(home: string): () => Promise<readonly Account[]> {
  let known: { readonly stamp: string; readonly accounts: readonly Account[] } | null = null;
  return async () => {
    const seen = await stat(join(home, accountsPath), { bigint: true }).catch(() => null);
    const stamp = seen === null ? "" : `${seen.ino}-${seen.mtimeNs}-${seen.size}`;
    if (known?.stamp !== stamp) known = { stamp, accounts: await readAccounts(home) };
    return known.accounts;
  };
}

function existing(accounts: readonly Account[], email: string): Account {
  const found = find(accounts, email);
  if (found === undefined) throw new AccountRefused(`there is no account of ${email}`);
  return found;
}

async function hashNew(password: string): Promise<string> {
  const { length } = password;
  if (length < minPasswordLength || length > maxPasswordLength) {
    throw new AccountRefused(
      `a password has ${minPasswordLength} to ${maxPasswordLength} characters`,
    );
  }
  return await hashPassword(password);
}

/** One change at a time, by whoever holds the lock file; all of it or nothing. */
async function change(
  home: string,
  edit: (accounts: readonly Account[]) => readonly Account[],
): Promise<void> {
  const path = join(home, accountsPath);
  const lock = `${path}.lock`;
  await using cleanup = new AsyncDisposableStack();
  const held = await open(lock, "wx", 0o600).catch((cause: unknown) => {
    throw new AccountRefused(
      `accounts are being changed by another command; if there is none, remove ${lock}`,
      { cause },
    );
  });
  cleanup.defer(async () => await unlink(lock));
  cleanup.defer(async () => await held.close());
  const accounts = edit(await readAccounts(home));
  const text = `${JSON.stringify({ version: 1, accounts }, null, 2)}\n`;
  await durableWrite(path, encodeUtf8(text), 0o600);
}

function now(): string {
  return new Date().toISOString();
}
