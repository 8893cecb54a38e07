/** Local accounts: what the file holds, who gets in, and what somebody learns who does not. */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  accountReader,
  addAccount,
  changePassword,
  readAccounts,
  removeAccount,
} from "../../plugins/idp/accounts.ts";
import { createBackOff } from "../../plugins/idp/back-off.ts";
import { createMemory } from "../../plugins/idp/memory.ts";
import { hashOfNobody, hashPassword, isPassword } from "../../plugins/idp/password.ts";
import { createPeople, digest } from "../../plugins/idp/people.ts";
import type { RefusedSignIn } from "../../plugins/idp/refusals.ts";
import { silentJournal } from "../support/boot.ts";

const email = "ada@example.com";
const password = "correct horse battery";
const adminSecret = "0123456789abcdef0123456789abcdef";
let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "chancery-accounts-"));
  await mkdir(join(home, "secrets"));
});
afterEach(async () => await rm(home, { recursive: true }));

describe("the file", () => {
  test("is its owner's alone, and holds hashes with their parameters", async () => {
    await addAccount(home, email, password);
    const path = join(home, "secrets", "accounts.json");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const text = await readFile(path, "utf8");
    expect(text).not.toContain(password);
    expect(text).toMatch(/\$argon2id\$v=19\$m=9216,t=4,p=1\$/);
    expect(await readdir(join(home, "secrets"))).toEqual(["accounts.json"]);
  });

  test("gives an address that comes again another identifier", async () => {
    await addAccount(home, email, password);
    const [first] = await readAccounts(home);
    await removeAccount(home, email);
    expect(await readAccounts(home)).toEqual([]);
    await addAccount(home, email, password);
    expect((await readAccounts(home))[0]?.id).not.toBe(first?.id);
  });

  test.for<[string, () => Promise<unknown>, RegExp]>([
    ["what is no address", async () => await addAccount(home, "ada", password), /not an e-mail/],
    [
      "an account twice",
      async () => await addAccount(home, "ADA@example.com", password),
      /already/,
    ],
    ["a short password", async () => await addAccount(home, "b@example.com", "11 letters."), /12/],
    [
      "a password without end",
      async () => await changePassword(home, email, "x".repeat(1_025)),
      /1024/,
    ],
    [
      "an account that is not there",
      async () => await removeAccount(home, "b@example.com"),
      /no account/,
    ],
  ])("refuses %s and stays as it was", async ([, act, words]) => {
    await addAccount(home, email, password);
    const before = await readFile(join(home, "secrets", "accounts.json"), "utf8");
    await expect(act()).rejects.toThrow(words);
    expect(await readFile(join(home, "secrets", "accounts.json"), "utf8")).toBe(before);
  });

  test("takes passwords of 12 and of 1024 characters", async () => {
    await addAccount(home, email, "x".repeat(12));
    await changePassword(home, email, "x".repeat(1_024));
  });

  test("is changed by one command at a time", async () => {
    await writeFile(join(home, "secrets", "accounts.json.lock"), "");
    await expect(addAccount(home, email, password)).rejects.toThrow(/another command/);
  });

  test("is not believed when it is damaged", async () => {
    await writeFile(join(home, "secrets", "accounts.json"), '{"version":1}');
    await expect(readAccounts(home)).rejects.toThrow(/damaged/);
  });
});

describe("a hash", () => {
  test("fits its own password and no other, however that was typed", async () => {
    const hash = await hashPassword("Zo\u00eb's password");
    expect(await isPassword("Zoe\u0308's password", hash)).toBe(true);
    expect(await isPassword("Zoe's password", hash)).toBe(false);
    expect(await isPassword("", hashOfNobody())).toBe(false);
  });

  test("that others made is understood", async () => {
    // Of the reference implementation's own tests (phc-winner-argon2, src/test.c, Argon2id).
    const hash =
      "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    expect(await isPassword("password", hash)).toBe(true);
    expect(await isPassword("Password", hash)).toBe(false);
  });

  test.each(["", "$argon2i$v=19$m=8,t=1,p=1$a$b", hashOfNobody().replace("m=9216", "m=262145")])(
    "that is none or costs too much is refused: %j",
    async (hash) => {
      await expect(isPassword("x", hash)).rejects.toThrow(/Argon2id/);
    },
  );
});

function people(demo: "any" | string[] = []) {
  let nowMs = 0;
  const told: string[] = [];
  const refusals: RefusedSignIn[] = [];
  const register = createPeople({
    demo,
    adminDigest: digest(adminSecret),
    accounts: accountReader(home),
    nowMs: () => nowMs,
    journal: { ...silentJournal, warn: (...about) => told.push(JSON.stringify(about)) },
    refused: (one) => refusals.push(one),
  });
  const attempt = async (who: string, typed: string, address = "192.0.2.1") =>
    await register.signIn({ email: who, password: typed, address });
  return { register, attempt, told, refusals, later: (ms: number) => (nowMs += ms) };
}

describe("signing in with a password", () => {
  test("lets somebody in who knows the password, and sees changes at once", async () => {
    const { attempt, register } = people();
    expect(await attempt(email, password)).toBe("wrong");
    await addAccount(home, email, password);
    const entered = await attempt("Ada@Example.com", password);
    if (typeof entered === "string") throw new Error(entered);
    expect(entered.person).toMatchObject({ email, claims: { email, email_verified: true } });
    expect(entered.person.claims).not.toHaveProperty("demo_account");
    await changePassword(home, email, "another password");
    expect(await attempt(email, password)).toBe("wrong");
    await removeAccount(home, email);
    expect(await register.find(entered.person.id)).toBeNull();
  });

  test("tells nobody who has an account: not in words, not in time, not in the journal", async () => {
    await addAccount(home, email, password);
    const { attempt, told } = people();
    let attempts = 0;
    const timed = async (who: string) => {
      // Processor time: what else the machine does must not count.
      const before = process.cpuUsage();
      expect(await attempt(who, "wrong password", `a${attempts++}`)).toBe("wrong");
      return process.cpuUsage(before).user;
    };
    const [known, unknown] = [[] as number[], [] as number[]];
    // The least of each is the hash alone, once it was seen undisturbed.
    const ratioNow = () => Math.min(...known) / Math.min(...unknown);
    for (
      let round = 0;
      round < 4 || (round < 20 && Math.abs(Math.log2(ratioNow())) > 0.9);
      round++
    ) {
      known.push(await timed(email));
      unknown.push(await timed(`nobody${round}@example.com`));
    }
    const ratio = ratioNow();
    expect(ratio).toBeGreaterThan(0.5);
    expect(ratio).toBeLessThan(2);
    expect(told.join()).not.toContain("example.com");
    expect(told.join()).not.toContain("wrong password");
  });

  test.each([email, "nobody@example.com"])(
    "makes guessers of %s wait longer and longer, but not for ever",
    async (who) => {
      await addAccount(home, email, password);
      const { attempt, later } = people();
      for (let count = 1; count <= 6; count++) {
        expect(await attempt(who, "wrong password", `a${count}`)).toBe("wrong");
      }
      // The account waits, wherever the guess comes from, and however right it is.
      expect(await attempt(who, password, "b")).toBe("wait");
      later(999);
      expect(await attempt(who, password, "b")).toBe("wait");
      later(1);
      expect(typeof (await attempt(who, password, "b"))).toBe(who === email ? "object" : "string");
    },
  );
});

describe("signing in", () => {
  test("makes an address wait that tries many accounts, and no other", async () => {
    await addAccount(home, email, password);
    const { attempt } = people();
    for (let count = 1; count <= 6; count++) {
      expect(await attempt(`n${count}@example.com`, "wrong password")).toBe("wrong");
    }
    expect(await attempt(email, password)).toBe("wait");
    expect(await attempt(email, password, "192.0.2.2")).toBeTypeOf("object");
  });

  test.each([
    ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"],
    ["::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"],
    ["2001:db8::1", "2001:db8:0:0:1::", "2001:db8:0:1::1"],
  ])("counts %s and %s as one, and %s as another", async (one, same, other) => {
    const { attempt } = people();
    for (let count = 1; count <= 6; count++) await attempt(`n${count}@example.com`, "x", one);
    expect(await attempt(email, "x", same)).toBe("wait");
    expect(await attempt(email, "x", other)).toBe("wrong");
  });

  test("hashes two passwords at once and not more", async () => {
    const { attempt } = people();
    const outcomes = await Promise.all(
      [1, 2, 3].map(async (n) => await attempt(`n${n}@example.com`, "x", `a${n}`)),
    );
    expect(outcomes.filter((outcome) => outcome === "busy")).toHaveLength(1);
  });

  test("takes the admin secret for demo accounts where there are some, and marks them", async () => {
    const entered = await people(["demo@example.com"]).attempt("demo@example.com", adminSecret);
    if (typeof entered === "string") throw new Error(entered);
    expect(entered.person).toMatchObject({
      id: "demo:demo@example.com",
      claims: { demo_account: true },
    });
    expect(await people(["demo@example.com"]).attempt(email, adminSecret)).toBe("wrong");
    expect(await people().attempt("demo@example.com", adminSecret)).toBe("wrong");
    expect(await people().register.find("demo:demo@example.com")).toBeNull();
  });
});

test("every refusal is told, with the name of an account only if there is one", async () => {
  await addAccount(home, email, password);
  const { attempt, refusals } = people();
  const from = { address: "192.0.2.1" };
  const told = async (who: string, typed: string) => {
    await attempt(who, typed);
    return refusals.splice(0);
  };
  const code = "access-denied";
  expect(await told("ADA@example.com", "x")).toEqual([
    { code, reason: "wrong password", account: email, from },
  ]);
  expect(await told("bob@example.com", "x")).toEqual([{ code, reason: "no such account", from }]);
  // Typed into the wrong field.
  expect(await told(password, "")).toMatchObject([{ code, from }]);
  for (let count = 1; count <= 4; count++) await attempt(email, "x");
  refusals.length = 0;
  expect(await told(email, password)).toEqual([
    { code: "rate-limited", reason: "too many attempts", account: email, from },
  ]);
  expect(await told("bob@example.com", "x")).toMatchObject([{ code: "rate-limited" }]);
  expect(refusals).toEqual([]);
});

test("the back-off ends at five minutes and forgets after an hour", () => {
  let nowMs = 0;
  const backOff = createBackOff(() => nowMs);
  for (let count = 0; count < 30; count++) backOff.failed("x");
  expect(backOff.waitMs("x")).toBe(300_000);
  nowMs += 3_600_001;
  expect(backOff.waitMs("x")).toBe(0);
});

test("memory holds so much and no more, and keeps those who signed in before those who did not", async () => {
  let nowMs = 0;
  const memory = createMemory(() => nowMs);
  const sessions = memory("Session");
  await sessions.upsert("mine", { uid: "u", accountId: "ada" }, 60);
  for (let count = 0; count <= 2_000; count++) await sessions.upsert(`s${count}`, {}, 60);
  expect(await sessions.find("s0")).toBeUndefined();
  expect(await sessions.find("s1")).toBeDefined();
  expect(await memory("Session").findByUid("u")).toMatchObject({ accountId: "ada" });
  expect(await memory("Grant").find("mine")).toBeUndefined();
  nowMs = 60_000;
  expect(await sessions.find("mine")).toBeUndefined();
});

test("the command changes accounts without a password among its arguments", async () => {
  await writeFile(join(home, "instance.json"), "{}");
  const launcher = new URL("../../chancery", import.meta.url).pathname;
  const environment = { PATH: process.env["PATH"] ?? "", CHANCERY_HOME: home };
  const account = (words: string, input = "") =>
    spawnSync(launcher, ["account", ...words.split(" ")], {
      env: environment,
      input,
      encoding: "utf8",
    });
  expect(account(`add ${email} --password-fd 0`, `${password}\n`)).toMatchObject({ status: 0 });
  expect(account("list --json").stdout).toBe(`{"accounts":["${email}"]}\n`);
  const [added] = await readAccounts(home);
  expect(await isPassword(password, added?.password ?? "")).toBe(true);
  expect(account(`add ${email} --password-fd 0`, `${password}\n`)).toMatchObject({ status: 1 });
  expect(account(`add ${email} --password ${password}`)).toMatchObject({ status: 2 });
  expect(account(`passwd ${email} --password-fd 9`)).toMatchObject({ status: 3 });
  expect(account(`remove ${email}`)).toMatchObject({ status: 0 });
  expect(account("list").stdout).toBe("");
  expect(account("forget x")).toMatchObject({ status: 2 });
});
