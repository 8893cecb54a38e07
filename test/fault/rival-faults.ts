/** Two of what there may be one: X1 to X3 of reliability.md §4.4. */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { environmentOf } from "../support/instance.ts";
import { freePort } from "../support/ports.ts";
import { demoToken, signOnce } from "../support/signer.ts";
import type { FaultKind } from "./fault-kind.ts";
import type { Ground } from "./ground.ts";
import { patience } from "./patience.ts";
import { filesOf, readIssuer } from "./raw.ts";

const endsWithinMs = 40_000;
/** Shorter than the supervisor bears silence. */
const pauseMs = 6_000;
/** Of a home: what the copy has no need of, and what is there once. */
const notCopied = /\/(journal|tokens|run|ceremony|vault)$/;

/** Kinds X1 to X3. */
export const rivalFaults: readonly FaultKind[] = [
  {
    id: "X1",
    what: "a second vault, services or supervisor over the same home",
    weight: 0.4,
    async inject(ground, random) {
      const who = random.pick(["vault", "services", "supervisor"] as const);
      await expectGivesUp(ground, who);
      return 1;
    },
  },
  {
    id: "X2",
    what: "services over a copy of data/, beside those over data/, with one vault",
    weight: 0.3,
    inject: twoBranches,
  },
  {
    id: "X3",
    what: "services that were paused go on after others have tried to take their place",
    weight: 0.4,
    async inject(ground) {
      const paused = ground.pid("services");
      if (paused === null || !ground.signal("services", "SIGSTOP")) return 0;
      const pause = sleep(pauseMs);
      try {
        await expectGivesUp(ground, "services", pause);
      } finally {
        await pause;
        if (ground.pid("services") === paused) ground.signal("services", "SIGCONT");
      }
      return 1;
    },
  },
];

/** @throws unless the rival ends by itself with a code of failure; one that hangs until `end` is ended, and that is as good */
async function expectGivesUp(
  ground: Ground,
  who: "vault" | "services" | "supervisor",
  end: Promise<void> = sleep(patience(endsWithinMs)),
): Promise<void> {
  using rival = startRival(ground, who);
  const code = await Promise.race([rival.ended, end.then(() => null)]);
  if (code === 0 || rival.isReady()) {
    throw new Error(`X1: a second ${who} has not noticed the first: ${rival.said()}`);
  }
}

/** A process of the product that should not be there. */
interface Rival extends Disposable {
  readonly ended: Promise<number>;
  readonly said: () => string;
  readonly isReady: () => boolean;
}

function startRival(ground: Ground, who: string, home = ground.place.home): Rival {
  const program = who === "supervisor" ? ["deploy", "start.ts"] : ["core", "main.ts"];
  const pin = who === "vault" ? ["--pin-fd", "3"] : [];
  const args = who === "supervisor" ? [] : ["--home", home, "--process", who, ...pin];
  const child = spawn(process.execPath, [join(ground.root, ...program), ...args], {
    env: {
      ...environmentOf({ ...ground.place, home }),
      SOFTHSM2_CONF: join(home, "softhsm2-online.conf"),
    },
    cwd: ground.root,
    // It listens to its input as long as it lives, so it may not be ours.
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
  }
  giveThePin(child, home);
  return {
    ended: new Promise((resolve) => child.once("exit", (code) => resolve(code ?? 1))),
    said: () => text.trim().slice(-1_500),
    isReady: () => /"event":"ready"/.test(text),
    [Symbol.dispose]: () => void child.kill("SIGKILL"),
  };
}

function giveThePin(child: ChildProcess, home: string): void {
  const pipe = child.stdio[3];
  if (!pipe || !("write" in pipe)) return;
  // It may have gone before it reads.
  pipe.on("error", () => undefined);
  pipe.end(`${readFileSync(join(home, "secrets", "pin"), "utf8").trim()}\n`);
}

/**
 * Both branches begin with one tree and one vault. The first goes on, so the second must never be signed for: whoever asks it gets
 * no answer, and the first notices nothing.
 */
async function twoBranches(ground: Ground): Promise<number> {
  await ground.clients(0);
  const other = await ground.scratch("other");
  const { home } = ground.place;
  cpSync(home, other, { recursive: true, filter: (path) => !notCopied.test(path) });
  const door = await moveDoor(other, ground);
  using rival = startRival(ground, "services", other);
  for (const giveUpAt = performance.now() + patience(endsWithinMs); !rival.isReady();) {
    const ended = await Promise.race([rival.ended.then(() => true), sleep(50, false)]);
    if (ended || performance.now() > giveUpAt) throw new Error(`X2: no rival: ${rival.said()}`);
  }
  await ground.clients(2);
  if (!(await ground.answered(4, patience(30_000))))
    throw new Error("L9: no answers beside a rival");
  await expectNoEntry(door, home);
  await ground.clients(0);
  for (const serial of readIssuer(filesOf(other)).intents) ground.intentsElsewhere.add(serial);
  rmSync(other, { recursive: true, force: true });
  return 1;
}

/** Gives the copy ports of its own. */
async function moveDoor(other: string, { place }: Ground): Promise<string> {
  const [port, tlsPort] = [await freePort(), await freePort()];
  const path = join(other, "config.yaml");
  const configuration = readFileSync(path, "utf8")
    .replace(`\n  port: ${place.port}\n`, `\n  port: ${port}\n`)
    .replace(`\n  tlsPort: ${place.tlsPort}\n`, `\n  tlsPort: ${tlsPort}\n`);
  writeFileSync(path, configuration);
  return `http://localhost:${port}`;
}

async function expectNoEntry(origin: string, home: string): Promise<void> {
  const email = "rival@example.com";
  const target = { origin, home };
  const signed = await demoToken(target, email)
    .then(async (token) => await signOnce(target, token, email))
    .then(
      () => true,
      () => false,
    );
  if (signed) throw new Error("L1: the vault has signed for two branches of one log");
}
