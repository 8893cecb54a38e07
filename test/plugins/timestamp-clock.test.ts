/** When the timestamp authority does not tell the time: the clock was set, a source disagrees, its certificate has ended. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parseTimestampResponse } from "../../core/formats/tsp-token.ts";
import { confirmClock } from "../../plugins/timestamp/commands.ts";
import type { TestInstallation } from "../support/boot.ts";
import { asked, TimestampHouse, tsaKey } from "./timestamp-house.ts";
import "../support/matchers.ts";

const settleMs = 400;
const quick = { key: "timestamp", settleMs };
/** When a certificate ends that the vault was given: the clock will stand shortly before. */
const expiry = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 86_400_000);

let place: TimestampHouse;
let house: TestInstallation;

beforeAll(async () => {
  place = await TimestampHouse.create([
    tsaKey("timestamp"),
    tsaKey("expiring", { notAfter: expiry }),
  ]);
  house = await place.boot(quick);
});
beforeEach(() => {
  place.clock.offsetMs = 0;
});
afterAll(async () => {
  await house.dispose();
  place.vault.dispose();
});

describe("tells no time", () => {
  test.for([-3_600_000, -150, 150, 3_600_000])(
    "while the clock is %i ms off, and again once it has been back for a while",
    async (stepMs) => {
      expect((await asked(house)).granted).toBe(true);
      place.clock.offsetMs = stepMs;
      const offAt = performance.now();
      await expect(asked(house)).toFailWith("time-unavailable");
      expect(house.health()["timestamp"]).toMatchObject({ status: "degraded" });
      place.clock.offsetMs = 0;
      await expect.poll(async () => await outcome(house)).toBe(true);
      expect(performance.now() - offAt).toBeGreaterThanOrEqual(settleMs);
      expect(house.health()["timestamp"]).toEqual({ status: "ok" });
    },
  );

  test("only for steps above the bound", async () => {
    for (const stepMs of [60, -30, 0]) {
      place.clock.offsetMs = stepMs;
      expect((await asked(house)).granted).toBe(true);
    }
  });

  test("until an operator confirms a clock that was set right", async () => {
    place.clock.offsetMs = 2_000;
    await expect(asked(house)).toFailWith("time-unavailable");
    const before = Date.now();
    await expect.poll(confirmed).toBe(true);
    const { response } = await asked(house);
    const genTime = parseTimestampResponse(response).genTime.getTime();
    expect(genTime).toBeGreaterThanOrEqual(before + 1_000);
    expect(genTime).toBeLessThanOrEqual(Date.now() + 2_000);
    // Setting it back is a step again; and what was stamped is not stamped over until it has passed.
    place.clock.offsetMs = 0;
    await expect(asked(house)).toFailWith("time-unavailable");
    await expect.poll(confirmed).toBe(true);
    const again = parseTimestampResponse((await asked(house)).response).genTime.getTime();
    expect(again).toBeGreaterThanOrEqual(genTime);
    // A clock that creeps back is stamped over by as much as a step, which the next installation does not know of.
    await sleep(200);
  });
});

/** True if a timestamp is granted, else why there is none. */
async function outcome(of: TestInstallation): Promise<unknown> {
  return await asked(of).then(
    ({ granted }) => granted,
    (error: { code?: unknown }) => error.code,
  );
}

/** The operator's word counts once the doubt was noticed, so it is given until it does. */
async function confirmed(): Promise<unknown> {
  await confirmClock(place.vault.home);
  return await outcome(house);
}

describe("with a time source", () => {
  let socket: Socket;
  let port: number;
  let serverOffsetMs = 0;
  let silent = false;
  beforeAll(async () => {
    socket = createSocket("udp4");
    socket.on("message", (request, from) => {
      if (silent) return;
      socket.send(ntpReply(request, Date.now() + serverOffsetMs), from.port, from.address);
    });
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    ({ port } = socket.address());
  });
  afterAll(() => {
    socket.close();
  });

  const ntp = () => ({
    servers: [`127.0.0.1:${port}`],
    everyMs: 100,
    maxOffsetMs: 500,
    graceMs: 300,
  });

  test("tells the time while they agree, and none while they do not", async () => {
    await house.dispose();
    const other = await place.boot({ key: "timestamp", ntp: ntp() });
    expect((await asked(other)).granted).toBe(true);
    serverOffsetMs = 5_000;
    await expect.poll(async () => await outcome(other)).toBe("time-unavailable");
    serverOffsetMs = 100;
    await expect.poll(async () => await outcome(other)).toBe(true);
    await other.dispose();
    house = await place.boot(quick);
  });

  test("tells none before the source has answered", async () => {
    silent = true;
    await house.dispose();
    const other = await place.boot({ key: "timestamp", ntp: ntp() });
    await expect(asked(other)).toFailWith("time-unavailable");
    silent = false;
    await expect.poll(async () => await outcome(other)).toBe(true);
    await other.dispose();
    house = await place.boot(quick);
  });
});

test("tells no time past the end of its certificate (TC-T6)", async () => {
  await house.dispose();
  place.clock.offsetMs = expiry.getTime() - 2_000 - Date.now();
  house = await place.boot({ key: "expiring" });
  for (;;) {
    const said = await asked(house).catch((error: unknown) => error);
    if (said instanceof Error) {
      expect(said).toMatchObject({ code: "key-unavailable" });
      break;
    }
    // Not an error, so it is the answer.
    const { response } = said as { response: Uint8Array };
    expect(parseTimestampResponse(response).genTime <= expiry).toBe(true);
    await sleep(20);
  }
  expect(place.clock.now().getTime()).toBeGreaterThan(expiry.getTime());
});

/** A reply of stratum 1 with the time at which it is sent. */
function ntpReply(request: Uint8Array, nowMs: number): Uint8Array {
  const reply = new Uint8Array(48);
  const view = new DataView(reply.buffer);
  view.setUint8(0, (4 << 3) | 4);
  view.setUint8(1, 1);
  reply.set(request.subarray(40, 48), 24);
  for (const at of [32, 40]) {
    view.setUint32(at, Math.floor(nowMs / 1_000) + 2_208_988_800);
    view.setUint32(at + 4, Math.floor(((nowMs % 1_000) / 1_000) * 2 ** 32));
  }
  return reply;
}
