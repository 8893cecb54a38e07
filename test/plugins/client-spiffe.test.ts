/** JWT-SVIDs from the SPIFFE Workload API: an agent by the stock gRPC server, its messages as the public definition has them. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  create,
  createFileRegistry,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";
import {
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
} from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { findAmbientToken } from "../../plugins/client/ambient.ts";
import type { Terminal } from "../../plugins/client/terminal.ts";
import { boxToken } from "../support/box-services.ts";

const text = (name: string, number: number) => ({
  name,
  number,
  type: Type.STRING,
  label: Label.OPTIONAL,
});
/** `spiffe/spiffe: standards/workloadapi.proto`, the messages of the JWT-SVID profile. */
const registry = createFileRegistry(
  create(FileDescriptorProtoSchema, {
    name: "workloadapi.proto",
    syntax: "proto3",
    messageType: [
      {
        name: "JWTSVIDRequest",
        field: [{ ...text("audience", 1), label: Label.REPEATED }, text("spiffe_id", 2)],
      },
      {
        name: "JWTSVIDResponse",
        field: [
          {
            name: "svids",
            number: 1,
            type: Type.MESSAGE,
            typeName: ".JWTSVID",
            label: Label.REPEATED,
          },
        ],
      },
      { name: "JWTSVID", field: [text("spiffe_id", 1), text("svid", 2), text("hint", 3)] },
    ],
  }),
  () => undefined,
);
const messageOf = (name: string) => {
  const found = registry.getMessage(name);
  if (found === undefined) throw new Error(`no message ${name}`);
  return found;
};
const [request, response] = [messageOf("JWTSVIDRequest"), messageOf("JWTSVIDResponse")];
type Asked = MessageShape<typeof request> & { readonly audience: readonly string[] };

const folder = mkdtempSync(join(tmpdir(), "chancery-spiffe-"));
const server = new Server();
let audiences: readonly string[] = [];
let answer:
  { readonly svids: readonly object[] } | { readonly code: status; readonly details: string };
let port = 0;

const token = boxToken({ sub: "spiffe://corp.example/build" });
const other = boxToken({ sub: "spiffe://corp.example/other" });
const good = {
  svids: [
    { spiffeId: "spiffe://corp.example/build", svid: token, hint: "first" },
    { spiffeId: "spiffe://corp.example/other", svid: other },
  ],
};

beforeAll(async () => {
  server.addService(
    {
      FetchJWTSVID: {
        path: "/SpiffeWorkloadAPI/FetchJWTSVID",
        requestStream: false,
        responseStream: false,
        requestDeserialize: (bytes: Buffer) => fromBinary(request, bytes),
        requestSerialize: () => Buffer.alloc(0),
        responseSerialize: (value: Record<string, unknown>) =>
          Buffer.from(toBinary(response, create(response, value))),
        responseDeserialize: (bytes: Buffer) => bytes,
      },
    },
    {
      FetchJWTSVID(call: ServerUnaryCall<Asked, object>, done: sendUnaryData<object>) {
        // As agents do: whoever was tricked into asking does not send this.
        if (call.metadata.get("workload.spiffe.io")[0] !== "true") {
          done({ code: status.INVALID_ARGUMENT, details: "security header missing from request" });
          return;
        }
        audiences = call.request.audience;
        if ("code" in answer) done(answer);
        else done(null, answer);
      },
    },
  );
  const bind = async (at: string) =>
    await new Promise<number>((resolve, reject) =>
      server.bindAsync(at, ServerCredentials.createInsecure(), (failed, bound) =>
        failed ? reject(failed) : resolve(bound),
      ),
    );
  await bind(`unix:${join(folder, "agent.sock")}`);
  port = await bind("127.0.0.1:0");
});
beforeEach(() => (answer = good));
afterAll(() => {
  server.forceShutdown();
  rmSync(folder, { recursive: true });
});

async function find(endpoint = `unix://${join(folder, "agent.sock")}`, audience = "sigstore") {
  const terminal: Terminal = {
    environment: { SPIFFE_ENDPOINT_SOCKET: endpoint },
    folder,
    print: () => undefined,
    complain: () => undefined,
    readInput: async () => await Promise.resolve(new Uint8Array()),
  };
  return await findAmbientToken(audience, terminal);
}

test("the agent's default JWT-SVID is the token, for the audience that is wanted", async () => {
  expect(await find(undefined, "elsewhere")).toEqual({
    text: token,
    source: "the SPIFFE Workload API",
  });
  expect(audiences).toEqual(["elsewhere"]);
  expect((await find(`tcp://127.0.0.1:${port}`))?.text).toBe(token);
});

test.each([
  [
    "an agent that knows no such process",
    { code: status.PERMISSION_DENIED, details: "no identity issued" },
    "has no identity for this process",
  ],
  [
    "an agent that is not well",
    { code: status.UNAVAILABLE, details: "no\nserver" },
    "gRPC code 14: no",
  ],
  ["an agent that answers nothing", { svids: [] }, "answered without one"],
])("%s is told", async (_, said, expected) => {
  answer = said;
  await expect(find()).rejects.toThrow(expected);
});

test.each([
  "agent.sock",
  "unix://host/path",
  "unix:relative",
  "tcp://localhost:1",
  "tcp://127.0.0.1",
  "http://127.0.0.1:1",
  "unix:///a?b",
])("%s is no address of an agent", async (endpoint) => {
  await expect(find(endpoint)).rejects.toThrow("neither unix:///PATH nor tcp://ADDRESS:PORT");
});

test("an agent that is not there, and something else that is, are told", async () => {
  await expect(find(`unix://${join(folder, "nobody.sock")}`)).rejects.toThrow("cannot be reached");
  const stranger = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  const path = join(folder, "stranger.sock");
  await new Promise<void>((resolve) => stranger.listen(path, resolve));
  await expect(find(`unix://${path}`)).rejects.toThrow(/cannot be reached|answered/);
  stranger.close();
});
