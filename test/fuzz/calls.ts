/** gRPC calls that were good until something was done to them: to a field, to the message, to its frame. */
import { create, toBinary } from "@bufbuild/protobuf";
import { fc } from "@fast-check/vitest";
import { CreateSigningCertificateRequestSchema } from "../../plugins/http/proto/fulcio-messages.ts";
import { openHttp2 } from "../support/door-client.ts";
import { byteMutants, textMutants } from "./mutations.ts";

/** The fields of a good call. */
interface Fields {
  readonly token: string;
  readonly content: string;
  /** Base64. */
  readonly possession: string;
}

/** A good call and what it is made of. */
export interface Call {
  readonly fields: Fields;
  readonly message: () => Uint8Array;
}

/** The call that asks what this REST request does. */
export function callOf(request: string): Call {
  const { credentials, publicKeyRequest } = JSON.parse(request) as {
    credentials: { oidcIdentityToken: string };
    publicKeyRequest: { publicKey: { content: string }; proofOfPossession: string };
  };
  const fields = {
    token: credentials.oidcIdentityToken,
    content: publicKeyRequest.publicKey.content,
    possession: publicKeyRequest.proofOfPossession,
  };
  return { fields, message: () => messageOf(fields) };
}

/** A message in its frame: a flag for compression, and the length. */
export function frame(message: Uint8Array, flag = 0, length = message.length): Uint8Array {
  const head = Buffer.alloc(5);
  head.writeUInt8(flag);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

/** Mutations of a good call, as bodies of requests. */
export function callMutants({
  fields,
  message,
}: Call): fc.Arbitrary<{ readonly body: Uint8Array; readonly how: string }> {
  const names = Object.keys(fields) as (keyof Fields)[]; // keys of a const object are its key type
  const inField = fc.constantFrom(...names).chain((name) =>
    textMutants(fields[name]).map(({ text, how }) => ({
      body: frame(messageOf({ ...fields, [name]: text })),
      how: `${name}: ${how}`,
    })),
  );
  const inMessage = byteMutants(message(), "message").map(({ bytes, how }) => ({
    body: frame(bytes),
    how,
  }));
  const whole = byteMutants(frame(message()), "frame").map(({ bytes, how }) => ({
    body: bytes,
    how,
  }));
  const heads = fc
    .tuple(fc.nat(255), fc.nat(0xffffffff))
    .map(([flag, length]) => ({ body: frame(message(), flag, length), how: "head" }));
  return fc.oneof(
    { weight: 5, arbitrary: inField },
    { weight: 4, arbitrary: inMessage },
    whole,
    heads,
  );
}

/** A connection for calls of any bytes. */
export function openCalls(port: number) {
  let session = openHttp2({ host: "127.0.0.1", port });
  const send = async (body: Uint8Array) => {
    if (session.closed || session.destroyed) session = openHttp2({ host: "127.0.0.1", port });
    const stream = session.request({
      ":method": "POST",
      ":path": "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate",
      ":authority": "localhost",
      "content-type": "application/grpc",
      te: "trailers",
    });
    const said: { [name: string]: string | number | undefined } = {};
    const note = (fields: object): void => {
      Object.assign(said, fields);
    };
    stream.on("response", note);
    stream.on("trailers", note);
    stream.on("error", () => undefined);
    stream.resume();
    stream.end(body);
    await new Promise((resolve) => stream.once("close", resolve));
    return {
      status: Number(said[":status"] ?? 0),
      code: Number(said["grpc-status"] ?? -1),
      message: String(said["grpc-message"] ?? ""),
    };
  };
  return { send, [Symbol.dispose]: () => session.destroy() };
}

function messageOf({ token, content, possession }: Fields): Uint8Array {
  const request = create(CreateSigningCertificateRequestSchema, {
    credentials: { credentials: { case: "oidcIdentityToken", value: token } },
    key: {
      case: "publicKeyRequest",
      value: {
        publicKey: { content },
        proofOfPossession: Buffer.from(possession, "base64"),
      },
    },
  });
  return toBinary(CreateSigningCertificateRequestSchema, request);
}
