/**
 * A power cut in the middle of signings: nothing acknowledged is lost, no key is lost. The disk is an ext4 on a loop device whose
 * write-back is off, so that its backing file holds what was fsynced and nothing else (reliability.md, appendix D). Needs root.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { chancery, type Instance, type Place, startInstance } from "../support/instance.ts";
import { freePort } from "../support/ports.ts";
import { volatileDisk } from "../fault/disk.ts";
import { expectKept } from "../support/oracle.ts";
import { type Acknowledged, demoToken, signOnce } from "../support/signer.ts";

const email = "power@example.com";
const cutAfter = 25;

test("a power cut in the middle of 50 signings loses nothing acknowledged", async () => {
  await using disk = await volatileDisk();
  const place: Place = {
    home: join(disk.mount, "home"),
    port: await freePort(),
    tlsPort: await freePort(),
  };
  const before = await startInstance(place);
  const acknowledged = await signUntilCut(before, async () => await disk.cut());
  await killAll(before);
  await disk.restore();

  await using after = await startInstance(place);
  expect(acknowledged.length).toBeGreaterThanOrEqual(cutAfter);
  await expectKept(after.origin, acknowledged);
  expect(await chancery(after.home, "fsck")).toMatchObject({ code: 0 });
  const token = await demoToken(after, email);
  await signOnce(after, token, email);
});

/** Signs on three lanes; at the cut every process is frozen, the disk's content is taken, and what came later is forgotten. */
async function signUntilCut(
  instance: Instance,
  cut: () => Promise<void>,
): Promise<readonly Acknowledged[]> {
  const token = await demoToken(instance, email);
  const acknowledged: Acknowledged[] = [];
  let dark = false;
  const lanes = Array.from({ length: 3 }, async () => {
    while (!dark && acknowledged.length < 50) {
      const one = await signOnce(instance, token, email).catch(() => null);
      if (one === null) await sleep(20);
      else if (!dark) acknowledged.push(one);
    }
  });
  while (acknowledged.length < cutAfter) await sleep(1);
  for (const pid of await pids(instance)) process.kill(pid, "SIGSTOP");
  // Answers that were under way when the power went are the clients': give them time to arrive.
  await sleep(100);
  dark = true;
  await cut();
  const ended = Promise.all(lanes);
  await killAll(instance);
  await ended;
  return acknowledged;
}

async function pids(instance: Instance): Promise<readonly number[]> {
  const children = await Promise.all(
    (["services", "vault", "nats"] as const).map((name) => instance.pid(name)),
  );
  return [instance.supervisor.pid ?? 0, ...children];
}

async function killAll(instance: Instance): Promise<void> {
  const all =
    instance.supervisor.exitCode === null && instance.supervisor.signalCode === null
      ? await pids(instance)
      : [];
  for (const pid of all) process.kill(pid, "SIGKILL");
  while (all.some(isAlive)) await sleep(20);
}

/** A zombie that nobody reaps is dead enough. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
  } catch {
    return false;
  }
}
