/**
 * The clients, and the recorder: signs on several lanes as long as it is told to, and writes down every answer, fsynced, when it
 * has arrived. `node client-child.ts ORIGIN HOME FILE`; takes `{lanes: n}` over IPC and answers `{lanes: n}` when it is so, tells
 * `{acknowledged, failed}` every 100 ms.
 */
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { logSignatureV2, timestamp } from "./requests.ts";
import { certify, demoToken, logSignature } from "../support/signer.ts";

const [origin = "", home = "", file = ""] = process.argv.slice(2);
const target = { origin, home };
const email = "fault@example.com";
const tokenForMs = 20_000;
const pauseMs = 40;

const descriptor = openSync(file, "a");
let wanted = 0;
let running = 0;
let acknowledged = 0;
let failed = 0;
let signed = 0;
let token: Promise<string> | null = null;
let tokenAt = 0;

process.on("message", (message: { readonly lanes: number }) => {
  wanted = message.lanes;
  while (running < wanted) void lane(running++);
  void settled(wanted);
});
process.on("disconnect", () => {
  closeSync(descriptor);
  process.exit(0);
});
setInterval(() => process.send?.({ acknowledged, failed }), 100);

async function settled(lanes: number): Promise<void> {
  while (running > lanes && wanted === lanes) await sleep(5);
  process.send?.({ lanes, acknowledged, failed });
}

/** One lane of signing; ends when fewer are wanted. */
async function lane(number: number): Promise<void> {
  while (number < wanted) {
    try {
      const certified = await certify(target, await freshToken(), email);
      record({ kind: "certificate", certificates: certified.certificates });
      const entry = await logSignature(target, certified);
      record({ kind: "entry", entryId: entry.entryId, entry: entry.entry });
      if (++signed % 3 === 0) {
        record({ kind: "entry-v2", entryV2: await logSignatureV2(origin, certified) });
        record({ kind: "timestamp", tstInfo: await timestamp(origin) });
      }
      await sleep(pauseMs);
    } catch {
      // A client that was not answered asks anew: nothing was promised to it.
      failed++;
      token = null;
      await sleep(50);
    }
  }
  running--;
}

async function freshToken(): Promise<string> {
  if (token === null || performance.now() - tokenAt > tokenForMs) {
    tokenAt = performance.now();
    token = demoToken(target, email);
    token.catch(() => undefined);
  }
  return await token;
}

function record(answer: object): void {
  writeSync(descriptor, `${JSON.stringify(answer)}\n`);
  fsyncSync(descriptor);
  acknowledged++;
}
