/** What a gRPC call may cost, and what it is told when it costs more. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { bootDoor, type Door } from "../support/door.ts";
import { grpcClient, type GrpcClient } from "../support/grpc-client.ts";
import { create, credentials, key, pause, rawCall } from "./grpc-house.ts";

let door: Door;
let client: GrpcClient;
beforeAll(async () => {
  door = await bootDoor();
  client = grpcClient(`localhost:${door.tlsPort}`, door.certificate);
});
afterAll(async () => {
  client[Symbol.dispose]();
  await door.dispose();
});
beforeEach(() => {
  door.heard.length = 0;
});

test("a message of 262,144 bytes is read, and not one byte more", async () => {
  // An unknown field of the right length: tag 15, length-delimited.
  const message = (length: number): Uint8Array => {
    const body = Buffer.alloc(length, 0);
    const size = length - 4;
    body.set([0x7a, (size & 0x7f) | 0x80, ((size >> 7) & 0x7f) | 0x80, size >> 14]);
    return body;
  };
  expect(await client.call(create, message(262_144))).toMatchObject({
    code: 3,
    message: "There was an error processing the identity token",
  });
  expect(await client.call(create, message(262_145))).toMatchObject({
    code: 8,
    message: "request body too large",
  });
  expect(door.heard).toEqual([]);
});

test("what is no message is refused without a word of a library", async () => {
  for (const bytes of [[0xff], [0x0a, 0x05, 1], [0x0a, 2, 0x0a, 0x7f], [0x07]]) {
    const { code, message } = await client.call(create, Uint8Array.from(bytes));
    expect([code, message]).toEqual([expect.toBeOneOf([3, 13]), expect.not.stringMatching(/[{:]/)]);
  }
  expect(door.heard).toEqual([]);
});

test("compressed messages are refused", async () => {
  const gzip = { "grpc.default_compression_algorithm": 2 };
  using own = grpcClient(`localhost:${door.tlsPort}`, door.certificate, gzip);
  expect(await own.call(create, { credentials, key })).toMatchObject({
    code: 12,
    message: "method or encoding not implemented",
  });
  expect(door.heard).toEqual([]);
});

test("a deadline that passes is told, and one that has passed asks nobody", async () => {
  const { issueCertificate } = door.answer;
  const { promise, resolve } = Promise.withResolvers();
  door.answer["issueCertificate"] = promise;
  const options = { deadline: Date.now() + 300 };
  expect((await client.call(create, { credentials, key }, { options })).code).toBe(4);
  resolve(issueCertificate);
  door.answer["issueCertificate"] = issueCertificate;
  const head = { "grpc-timeout": "60S" };
  const late = await rawCall(door, { ...head }, promise);
  expect(late.trailer["grpc-status"] ?? "0").toBe("0");
});

test("a call that is cancelled leaves its place", async () => {
  await using narrow = await bootDoor({ limits: { requestsInFlight: 1, requestsAtOnce: 1 } });
  using own = grpcClient(`localhost:${narrow.tlsPort}`, narrow.certificate);
  const { issueCertificate } = narrow.answer;
  const { promise, resolve } = Promise.withResolvers();
  narrow.answer["issueCertificate"] = promise;
  const ended = await own.call(
    create,
    { credentials, key },
    {
      cancelled: (cancel) => {
        const wait = setInterval(() => {
          if (narrow.heard.length === 0) return;
          clearInterval(wait);
          cancel();
        }, 5);
      },
    },
  );
  expect(ended.code).toBe(1);
  narrow.answer["issueCertificate"] = issueCertificate;
  for (let tries = 0; ; tries++) {
    const { code } = await own.call(create, { credentials, key });
    if (code === 0) break;
    expect([code, tries < 1_000]).toEqual([14, true]);
    await pause(20);
  }
  resolve(issueCertificate);
});

test("a full door and one that is knocked at too often say when to come back", async () => {
  await using strict = await bootDoor({ limits: { requestsPerSecondPerClient: 1 } });
  using own = grpcClient(`localhost:${strict.tlsPort}`, strict.certificate, noRetries);
  // At once, so that however slow the machine is they are more than one a second.
  const calls = Array.from({ length: 20 }, async () => await own.call("CA/GetTrustBundle", {}));
  const codes = await Promise.all(calls);
  const refused = codes.filter(({ code }) => code === 8);
  expect(refused.length).toBeGreaterThan(0);
  expect(refused[0]?.metadata["retry-after"]).toMatch(/^[1-9]/);
  expect(refused[0]?.message).toBe("too many requests");
  // REST is counted in the same bucket.
  expect((await fetch(`${strict.origin}/api/v2/trustBundle`)).status).toBe(429);
});

const noRetries = { "grpc.enable_retries": 0 };

test.for<[string, { [name: string]: string }, number, string | undefined]>([
  ["an unknown method", { ":path": "/dev.sigstore.fulcio.v2.CA/Nothing" }, 200, "12"],
  ["an unknown service", { ":path": "/x.Y/Z" }, 200, "12"],
  ["gRPC-web", { "content-type": "application/grpc-web+proto" }, 404, undefined],
  ["JSON inside gRPC", { "content-type": "application/grpc+json" }, 415, undefined],
  ["GET", { ":method": "GET" }, 415, undefined],
  ["an impossible deadline", { "grpc-timeout": "soon" }, 200, "3"],
])("refuses %s", async ([, head, status, code]) => {
  const reply = await rawCall(door, head);
  expect(reply.status).toBe(status);
  expect(reply.trailer["grpc-status"]).toBe(code);
  expect(reply.trailer["grpc-message"] ?? "").not.toMatch(/[{:"]/);
  expect(door.heard).toEqual([]);
});

test("half a frame, and two messages, are refused", async () => {
  const frame = Buffer.from([0, 0, 0, 0, 0]);
  for (const body of [frame.subarray(0, 3), Buffer.from([0, 0, 0, 0, 9, 1]), Buffer.alloc(0)]) {
    const { trailer } = await rawCall(door, {}, undefined, body);
    expect(["3", "13", "12"]).toContain(trailer["grpc-status"]);
  }
  const { trailer } = await rawCall(door, {}, undefined, Buffer.concat([frame, frame]));
  expect(["3", "12", "13"]).toContain(trailer["grpc-status"]);
  expect(door.heard).toEqual([]);
});
