/**
 * The SPIFFE Workload API (SPIFFE_Workload_API.md §6, SPIFFE_Workload_Endpoint.md §4): one gRPC call to the agent of this machine, which
 * knows by the socket who asks, and answers with a JWT-SVID.
 */
import { connect as connectHttp2 } from "node:http2";
import { connect, isIP, type Socket } from "node:net";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { CommandError, environmentError, exitCodes } from "./terminal.ts";

const what = "the JWT-SVID of the SPIFFE Workload API";
const method = "/SpiffeWorkloadAPI/FetchJWTSVID";
const deadlineMs = 10_000;
const maxAnswerBytes = 262_144;
/** A flag for compression and the message's length. */
const frameHeadBytes = 5;
/** The code of an agent that has no identity for whoever asks. */
const permissionDenied = 7;

/** The default JWT-SVID for `audience` from the agent at `endpoint` (`SPIFFE_ENDPOINT_SOCKET`). @throws {CommandError} */
export async function fetchJwtSvid(endpoint: string, audience: string): Promise<string> {
  const open = connectorOf(endpoint);
  const { status, code, message, body } = await call(open, formatRequest(audience));
  if (status !== 200 || code !== 0) {
    const why =
      code === permissionDenied
        ? "its agent has no identity for this process; is there a registration entry?"
        : `its agent answered ${status === 200 ? `gRPC code ${code}` : `HTTP ${status}`}${message}`;
    throw environmentError(`${what}: ${why}`);
  }
  const svid = firstSvid(body);
  if (svid !== null) return svid;
  throw new CommandError(exitCodes.failed, `${what}: its agent answered without one`);
}

/** Workload Endpoint §4: a `unix` URI with an absolute path, or a `tcp` URI with an address and a port. */
function connectorOf(endpoint: string): () => Socket {
  const url = URL.parse(endpoint);
  const bare = url?.search === "" && url.hash === "" && url.username === "" && url.password === "";
  if (url !== null && bare) {
    if (url.protocol === "unix:" && url.host === "" && /^\/[^/]/.test(url.pathname)) {
      const path = decodeURIComponent(url.pathname);
      return () => connect({ path });
    }
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
    if (url.protocol === "tcp:" && isIP(host) !== 0 && url.port !== "" && url.pathname === "") {
      return () => connect({ host, port: Number(url.port) });
    }
  }
  throw environmentError(
    `${what}: SPIFFE_ENDPOINT_SOCKET is neither unix:///PATH nor tcp://ADDRESS:PORT`,
  );
}

interface Answer {
  readonly status: number;
  readonly code: number;
  readonly message: string;
  readonly body: Uint8Array;
}

async function call(open: () => Socket, message: Uint8Array): Promise<Answer> {
  const session = connectHttp2("http://localhost", { createConnection: open });
  using cleanup = new DisposableStack();
  cleanup.defer(() => session.destroy());
  const { promise: gone, reject } = Promise.withResolvers<never>();
  const fail = (cause?: Error): void =>
    reject(environmentError(`${what}: its agent cannot be reached`, cause));
  session.on("error", fail);
  const timer = setTimeout(fail, deadlineMs);
  cleanup.defer(() => clearTimeout(timer));
  const stream = session.request({
    ":method": "POST",
    ":path": method,
    "content-type": "application/grpc",
    te: "trailers",
    "grpc-timeout": `${deadlineMs}m`,
    // Without it agents refuse: a request that somebody was tricked into has no such field (Workload Endpoint §3).
    "workload.spiffe.io": "true",
  });
  const said: { [name: string]: unknown } = {};
  const parts: Uint8Array[] = [];
  let length = 0;
  stream.on("response", (fields) => Object.assign(said, fields));
  stream.on("trailers", (fields) => Object.assign(said, fields));
  stream.on("error", fail);
  stream.on("data", (part: Uint8Array) => {
    length += part.length;
    if (length > maxAnswerBytes) fail();
    else parts.push(part);
  });
  stream.end(frame(message));
  const closed = new Promise<void>((resolve) => stream.once("close", resolve));
  await Promise.race([closed, gone]);
  const text = typeof said["grpc-message"] === "string" ? said["grpc-message"] : "";
  return {
    status: Number(said[":status"] ?? 0),
    code: Number(said["grpc-status"] ?? -1),
    message: text === "" ? "" : `: ${text.replaceAll(/[^ -~]/g, " ").slice(0, 200)}`,
    body: Buffer.concat(parts),
  };
}

function frame(message: Uint8Array): Uint8Array {
  const head = Buffer.alloc(frameHeadBytes);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** `JWTSVIDRequest`: `repeated string audience = 1`. */
function formatRequest(audience: string): Uint8Array {
  return new BinaryWriter().tag(1, WireType.LengthDelimited).string(audience).finish();
}

/** `JWTSVIDResponse`: `repeated JWTSVID svids = 1`, of which the first is the default; a `JWTSVID`: `string svid = 2`. */
function firstSvid(body: Uint8Array): string | null {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const whole = body.length >= frameHeadBytes && view.getUint8(0) === 0;
  if (!whole || view.getUint32(1) !== body.length - frameHeadBytes) return null;
  try {
    const svid = fieldOf(body.subarray(frameHeadBytes), 1);
    const token = svid && fieldOf(svid, 2);
    return token && new TextDecoder("utf-8", { fatal: true }).decode(token);
  } catch {
    return null;
  }
}

/** The first field of this number, whose value is bytes. */
function fieldOf(message: Uint8Array, wanted: number): Uint8Array | null {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === wanted && type === WireType.LengthDelimited) return reader.bytes();
    reader.skip(type, number);
  }
  return null;
}
