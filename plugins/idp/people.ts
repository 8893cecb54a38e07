/** Who may sign in with a password, and what tokens say about each. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Journal } from "../../core/journal.ts";
import { isEmailAddress } from "../../core/formats/email.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { placeOf } from "../../core/formats/network.ts";
import { type Account, find } from "./accounts.ts";
import { createBackOff } from "./back-off.ts";
import type { IdpConfig } from "./manifest.ts";
import { hashOfNobody, isPassword } from "./password.ts";
import type { RefusedSignIn } from "./refusals.ts";

/** Somebody who has signed in. */
export interface Person {
  /** The subject of the tokens. */
  readonly id: string;
  readonly email: string;
  readonly claims: { readonly [name: string]: unknown };
}

/** How an attempt ended. All wrong ones look the same from outside, and take as long. */
export type Attempt = { readonly person: Person } | "wrong" | "wait" | "busy";

/** The people of an installation. */
export interface People {
  signIn(attempt: {
    readonly email: string;
    readonly password: string;
    readonly address: string;
  }): Promise<Attempt>;
  /** Takes in somebody another provider vouches for, until the process ends. */
  admit(person: Person): void;
  /** True if anybody could sign in with a password. */
  any(): Promise<boolean>;
  /** Null if there is no such person, or no longer. */
  find(id: string): Promise<Person | null>;
}

/** What {@link createPeople} needs. */
export interface Register {
  readonly demo: IdpConfig["accounts"];
  /** SHA-256 of the admin secret. */
  readonly adminDigest: Uint8Array;
  readonly accounts: () => Promise<readonly Account[]>;
  readonly nowMs: () => number;
  readonly journal: Journal;
  /** Takes refusals down for the record. */
  readonly refused: (refusal: RefusedSignIn) => void;
}

const longestPassword = 1_024;
/** Each hash takes 9 MiB while it is made. */
const hashesAtOnce = 2;
const maxAdmitted = 2_000;

/** Makes the register. */
export function createPeople(register: Register): People {
  const backOff = createBackOff(register.nowMs);
  const admitted = new Map<string, Person>();
  const nobody = hashOfNobody();
  let hashing = 0;

  const judge = async (email: string, password: string): Promise<Person | null> => {
    const account = find(await register.accounts(), email);
    // Both comparisons are always made: how long this takes tells nothing about who has an account.
    const knows = await isPassword(password, account?.password ?? nobody);
    const isDemo = timingSafeEqual(digest(password.trim()), register.adminDigest);
    if (account !== undefined && knows) return local(account);
    return isDemo ? demo(email, register.demo) : null;
  };

  return {
    async signIn({ email, password, address }) {
      const account = await nameOf(register, email);
      const refuse = <A extends Attempt>(as: A, code: RefusedSignIn["code"], reason: string): A => {
        register.refused({ code, reason, account, from: { address } });
        return as;
      };
      if (!isEmailAddress(email) || password.length > longestPassword) {
        return refuse("wrong", "access-denied", "no address or password that anybody could have");
      }
      const keys = [`account ${email.toLowerCase()}`, `network ${placeOf(address).client}`];
      const note = { email: digestOf(email), address };
      if (keys.some((key) => backOff.waitMs(key) > 0)) {
        register.journal.warn("sign-in-refused", { ...note, reason: "too many attempts" });
        return refuse("wait", "rate-limited", "too many attempts");
      }
      if (hashing >= hashesAtOnce) return refuse("busy", "overloaded", "too many attempts at once");
      hashing++;
      try {
        const person = await judge(email, password);
        const count = person === null ? backOff.failed : backOff.succeeded;
        for (const key of keys) count(key);
        if (person === null) {
          register.journal.warn("sign-in-refused", { ...note, reason: "no such account" });
          const reason = account === undefined ? "no such account" : "wrong password";
          return refuse("wrong", "access-denied", reason);
        }
        register.journal.info("signed-in", { subject: person.id, address });
        return { person };
      } finally {
        hashing--;
      }
    },
    admit(person) {
      admitted.delete(person.id);
      admitted.set(person.id, person);
      const [oldest] = admitted.size > maxAdmitted ? admitted.keys() : [];
      if (oldest !== undefined) admitted.delete(oldest);
    },
    any: async () => register.demo.length > 0 || (await register.accounts()).length > 0,
    async find(id) {
      if (id.startsWith(demoPrefix)) return demo(id.slice(demoPrefix.length), register.demo);
      const account = (await register.accounts()).find((one) => one.id === id);
      return account === undefined ? (admitted.get(id) ?? null) : local(account);
    },
  };
}

/** The name to refuse an attempt under: none if there is no such account, for then what was typed may be anything. */
async function nameOf(register: Register, email: string): Promise<string | undefined> {
  return find(await register.accounts(), email)?.email ?? demo(email, register.demo)?.email;
}

const demoPrefix = "demo:";

function local({ id, email }: Account): Person {
  return { id, email, claims: { email, email_verified: true } };
}

/** A demo account, if there is one of that address. */
function demo(email: string, accounts: IdpConfig["accounts"]): Person | null {
  if (accounts !== "any" && !accounts.includes(email)) return null;
  if (!isEmailAddress(email)) return null;
  const claims = { email, email_verified: true, demo_account: true };
  return { id: `${demoPrefix}${email}`, email, claims };
}

/** Digests are of one length, which the constant-time comparison needs. */
export function digest(text: string): Uint8Array {
  return createHash("sha256").update(encodeUtf8(text)).digest();
}

/** What was typed may be a password by mistake, so the journal gets enough to compare and not more. */
function digestOf(text: string): string {
  return Buffer.from(digest(text)).toString("hex").slice(0, 16);
}
