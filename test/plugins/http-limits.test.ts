import { once } from "node:events";
import { constants } from "node:http2";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, it } from "vitest";
import { http1, http2, openHttp2, sendBytes } from "../support/door-client.ts";
import { bootDoor, type Door } from "../support/door.ts";

let door: Door;
afterEach(async () => await door?.dispose());

const at = (port: number) => ({ host: "127.0.0.1", port });
const get = (path: string) => ({ method: "GET", path });
const readLog = "GET /api/v1/log HTTP/1.1\r\nHost: x\r\n\r\n";

it("ends a connection whose client does not read, and holds its answer no longer", async () => {
  door = await bootDoor({ limits: { responseTimeoutMs: 300 } });
  door.answer["readTile"] = { tile: new Uint8Array(30_000_000) };
  const socket = connect(at(door.port));
  socket.on("error", () => undefined);
  socket.write("GET /logs/ct/tile/0/000 HTTP/1.1\r\nHost: x\r\n\r\n");
  socket.pause();
  while (door.heard.length === 0) await sleep(5);
  await sleep(900);
  let received = 0;
  socket.on("data", (part) => (received += part.length));
  socket.resume();
  await once(socket, "close");
  expect(received).toBeLessThan(30_000_000);
  expect((await http1(at(door.port))(get("/healthz"))).status).toBe(200);
});

it("ends an HTTP/2 stream whose client does not read", async () => {
  door = await bootDoor({ limits: { responseTimeoutMs: 300 } });
  door.answer["readTile"] = { tile: new Uint8Array(3_000_000) };
  const session = openHttp2(at(door.tlsPort));
  const stream = session.request({ ":path": "/logs/ct/tile/0/000" });
  stream.on("error", () => undefined);
  stream.pause();
  while (door.heard.length === 0) await sleep(5);
  await sleep(900);
  let received = 0;
  stream.on("data", (part: Uint8Array) => (received += part.length));
  stream.resume();
  await once(stream, "close");
  expect(received).toBeLessThan(3_000_000);
  session.destroy();
});

it("answers 408 to a body that does not come, in HTTP/1.1", async () => {
  const bytes = [
    "POST /oidc/token HTTP/1.1",
    "Host: x",
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Length: 9",
    "",
    "a",
  ].join("\r\n");
  door = await bootDoor({ limits: { requestTimeoutMs: 200 } });
  const [reply] = await sendBytes(at(door.port), bytes);
  expect(reply).toMatchObject({ status: 408, headers: { connection: "close" } });
  expect(JSON.parse(reply?.body ?? "")).toEqual({
    error: "invalid_request",
    error_description: "request took too long",
  });
  expect(door.heard).toEqual([]);
});

it("answers 408 to a body that does not come, in HTTP/2", async () => {
  door = await bootDoor({ limits: { requestTimeoutMs: 200 } });
  const session = openHttp2(at(door.tlsPort));
  const stream = session.request({
    ":method": "POST",
    ":path": "/oidc/token",
    "content-type": "application/x-www-form-urlencoded",
  });
  stream.on("error", () => undefined);
  const [head] = (await once(stream, "response")) as [{ ":status"?: number }];
  expect(head[":status"]).toBe(408);
  session.destroy();
});

it("answers so many requests of a connection and no more", async () => {
  door = await bootDoor({ limits: { requestsPerConnection: 3, keepAliveTimeoutMs: 200 } });
  const replies = await sendBytes(at(door.port), readLog.repeat(5));
  expect(replies.map(({ status }) => status).slice(0, 3)).toEqual([200, 200, 200]);
  expect(door.heard).toHaveLength(3);
});

it("ends an HTTP/2 connection gracefully after so many requests", async () => {
  door = await bootDoor({ limits: { requestsPerConnection: 3 } });
  const session = openHttp2(at(door.tlsPort));
  const closed = once(session, "close");
  const statuses = [];
  for (let time = 0; time < 3; time++) {
    const stream = session.request({ ":path": "/healthz" });
    const [head] = (await once(stream.resume(), "response")) as [{ ":status"?: number }];
    statuses.push(head[":status"]);
  }
  await closed;
  expect(statuses).toEqual([200, 200, 200]);
});

it("leaves connections beyond its limit, and lives", async () => {
  door = await bootDoor({ limits: { connections: 2 } });
  const idle = [connect(at(door.port)), connect(at(door.port))];
  await Promise.all(idle.map(async (socket) => await once(socket, "connect")));
  const third = connect(at(door.port));
  third.on("error", () => undefined);
  await once(third, "close");
  for (const socket of idle) socket.destroy();
  // It learns a little later that they are gone.
  const health = async () => (await http1(at(door.port))(get("/healthz"))).status;
  await expect.poll(health).toBe(200);
});

it("TC-H1 drops an idle connection and one that sends its header slowly", async () => {
  door = await bootDoor({ limits: { idleTimeoutMs: 300, headersTimeoutMs: 200 } });
  const idle = connect(at(door.port));
  await once(idle.resume(), "close");
  const [reply] = await sendBytes(at(door.port), "GET / HTTP/1.1\r\nHo");
  expect([0, 408]).toContain(reply?.status);
});

it("says 503 with Retry-After while bodies fill its memory, and goes on with reads", async () => {
  door = await bootDoor({ limits: { bodyBytesInFlight: 4_194_304 } });
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const { createEntry } = door.answer;
  door.answer["createEntry"] = promise;
  const send = http1(at(door.port));
  const entry = {
    method: "POST",
    path: "/api/v1/log/entries",
    headers: { "content-type": "application/json" },
  };
  const big = send({ ...entry, body: `{${" ".repeat(4_194_000)}}` });
  while (door.heard.length === 0) await sleep(5);
  const refused = await send({ ...entry, body: `{${" ".repeat(1_000)}}` });
  expect(refused.status).toBe(503);
  expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
  expect((await send(get("/api/v1/log"))).status).toBe(200);
  resolve(createEntry);
  expect((await big).status).toBe(201);
});

it("answers reads while writes are full, and probes while both are", async () => {
  door = await bootDoor({ limits: { requestsInFlight: 1 } });
  const { promise, resolve } = Promise.withResolvers<unknown>();
  Object.assign(door.answer, { createEntry: promise, describeLog: promise });
  const send = http1(at(door.port));
  const headers = { "content-type": "application/json" };
  const write = { method: "POST", path: "/api/v1/log/entries", headers, body: "{}" };
  const waiting = [send(write)];
  while (door.heard.length < 1) await sleep(5);
  expect((await send(write)).status).toBe(503);
  expect((await send(get("/logs/ct/checkpoint"))).status).toBe(200);
  waiting.push(send(get("/api/v1/log")));
  while (door.heard.filter(({ name }) => name === "describeLog").length < 1) await sleep(5);
  expect((await send(get("/logs/ct/checkpoint"))).status).toBe(503);
  expect((await send(get("/healthz"))).status).toBe(200);
  expect((await send(get("/readyz"))).status).toBe(200);
  resolve("not-found");
  await Promise.all(waiting);
});

it("says that it is not ready before it shuts its doors, and closes connections as they answer", async () => {
  door = await bootDoor({ limits: { drainNoticeMs: 1_500 } });
  const send = http1(at(door.port));
  const disposed = door.dispose();
  await sleep(50);
  const ready = await send(get("/readyz"));
  expect([ready.status, JSON.parse(ready.body)]).toEqual([503, { status: "draining" }]);
  // Still served: whoever has not looked yet loses nothing.
  const replies = await sendBytes(at(door.port), readLog);
  expect(replies).toMatchObject([{ status: 200, headers: { connection: "close" } }]);
  await disposed;
  expect((await send(get("/healthz"))).status).toBe(0);
});

it("ends an HTTP/2 connection that opens and resets streams as fast as it can", async () => {
  door = await bootDoor();
  const session = openHttp2(at(door.tlsPort));
  await once(session, "connect");
  let gone = false;
  session.on("close", () => (gone = true));
  for (let round = 0; round < 60 && !gone; round++) {
    for (let time = 0; time < 20 && !session.closed && !session.destroyed; time++) {
      const stream = session.request({ ":path": "/healthz" });
      stream.on("error", () => undefined);
      stream.close(constants.NGHTTP2_CANCEL);
    }
    await sleep(1);
  }
  await expect.poll(() => gone || session.closed || session.destroyed).toBe(true);
  session.destroy();
  using send = http2(at(door.tlsPort));
  expect((await send(get("/healthz"))).status).toBe(200);
});

it("tells an HTTP/2 client its limits, and refuses more header than that", async () => {
  door = await bootDoor();
  const session = openHttp2(at(door.tlsPort));
  const [settings] = (await once(session, "remoteSettings")) as [{ [name: string]: unknown }];
  expect(settings).toMatchObject({
    maxConcurrentStreams: 100,
    maxHeaderListSize: 16_384,
  });
  session.destroy();
  using send = http2(at(door.tlsPort));
  const many = Object.fromEntries(
    Array.from({ length: 90 }, (_, n) => [`x-${n}`, "a".repeat(900)]),
  );
  const flooded = await send({ ...get("/api/v1/log"), headers: many });
  expect([0, 431]).toContain(flooded.status);
  const pairs = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`x-${n}`, "a"]));
  expect([0, 431]).toContain((await send({ ...get("/api/v1/log"), headers: pairs })).status);
  expect((await send(get("/api/v1/log"))).status).toBe(200);
  expect(door.heard).toHaveLength(1);
});
