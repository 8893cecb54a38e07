/** Faults of the token's contents, and a hand on it that is not the vault's: K5, K6 and K10 of reliability.md §4.4. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { softHsmModule } from "../support/vault.ts";
import type { FaultKind } from "./fault-kind.ts";
import type { Ground } from "./ground.ts";
import { expectRefusal } from "./refusals.ts";

const label = "rekor-v1-log";
const mostUnknown = 60;

/** Kinds K5, K6 and K10. */
export const tokensChanged: readonly FaultKind[] = [
  {
    id: "K5",
    what: "another token with the same label is in the slot",
    weight: 0.2,
    inject: async (ground) => await atToken(ground, makeAnother, /token|serial/i),
  },
  {
    id: "K6",
    what: "a key is deleted, doubled or changed on the token",
    weight: 0.3,
    async inject(ground, random) {
      const remove = ["--delete-object", "--type", "privkey", "--label", label];
      const make = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", label];
      make.push("--id", idOf(ground));
      // What is there cannot be modified: whoever changes a key puts another in its place.
      const steps = random.pick([[remove], [make], [remove, make]]);
      const tool = (): void => {
        for (const step of steps) pkcs11Tool(ground, softHsmModule, ...step);
      };
      return await atToken(ground, tool, /key|object/i);
    },
  },
  {
    id: "K10",
    what: "a signature is made behind the vault's back: the judge must name it",
    weight: 0.3,
    async inject(ground, _random, look) {
      await ground.clients(0);
      const tally = join(ground.folder, "tally");
      const counted = readFileSync(tally);
      const data = join(await ground.scratch("behind"), "data");
      writeFileSync(data, randomBytes(32));
      const signing = ["--sign", "--mechanism", "ECDSA", "--label", label, "--input-file", data];
      const sign = (): void =>
        pkcs11Tool(ground, ground.module, ...signing, "--output-file", `${data}.sig`);
      const unexplained = [0];
      // What crashes have left unknown hides as many.
      for (let tries = 0; tries < mostUnknown && unexplained.at(-1) === 0; tries++) {
        sign();
        unexplained.push(look().unexplained);
      }
      sign();
      unexplained.push(look().unexplained);
      // As if two people had looked at it.
      writeFileSync(tally, counted);
      if (unexplained.at(-1) !== 2) {
        throw new Error(
          `K10: one signature after the other, unexplained are ${unexplained.join()}`,
        );
      }
      return 1;
    },
  },
];

/** Changes the token of an instance that is stopped; it must not start; then puts the right one back. */
async function atToken(
  ground: Ground,
  change: (ground: Ground, tokens: string) => void,
  why: RegExp,
): Promise<number> {
  const tokens = join(ground.place.home, "tokens", "online");
  await ground.clients(0);
  await ground.stop();
  const right = join(await ground.scratch("token"), "right");
  cpSync(tokens, right, { recursive: true });
  change(ground, tokens);
  await expectRefusal(ground, why);
  rmSync(tokens, { recursive: true });
  cpSync(right, tokens, { recursive: true });
  execFileSync("sync", ["-f", tokens]);
  await ground.start();
  return 1;
}

/** A fresh token with the label and the PIN of the right one. */
function makeAnother(ground: Ground, tokens: string): void {
  rmSync(tokens, { recursive: true });
  mkdirSync(tokens);
  const name = /^ *tokenLabel: (.*)$/m.exec(
    readFileSync(join(ground.place.home, "config.yaml"), "utf8"),
  )?.[1];
  const pins = ["--pin", pinOf(ground), "--so-pin", "12345678"];
  execFileSync("softhsm2-util", ["--init-token", "--free", "--label", String(name), ...pins], {
    env: environment(ground),
    stdio: "ignore",
  });
}

function pkcs11Tool(ground: Ground, module: string, ...args: readonly string[]): void {
  execFileSync("pkcs11-tool", ["--module", module, "--login", "--pin", pinOf(ground), ...args], {
    env: environment(ground),
    stdio: ["ignore", "ignore", "pipe"],
  });
}

function environment({ place }: Ground): NodeJS.ProcessEnv {
  return { ...process.env, SOFTHSM2_CONF: join(place.home, "softhsm2-online.conf") };
}

function pinOf({ place }: Ground): string {
  return readFileSync(join(place.home, "secrets", "pin"), "utf8").trim();
}

/** CKA_ID of the key, by which the vault knows it. */
function idOf({ place }: Ground): string {
  const { keys } = JSON.parse(readFileSync(join(place.home, "vault", "keyring.json"), "utf8")) as {
    readonly keys: readonly { readonly label: string; readonly id: string }[];
  };
  const key = keys.find((it) => it.label === label);
  if (key === undefined) throw new Error(`the keyring has no ${label}`);
  return key.id;
}
