/** A good call, its parts, and calls that no client of gRPC would make. */
import { formatPem } from "../../core/formats/pem.ts";
import type { Door } from "../support/door.ts";
import { openHttp2 } from "../support/door-client.ts";

/** The token of a good call. */
export const token = "a.b.c";
/** Its key, PEM. */
export const content = formatPem("PUBLIC KEY", new Uint8Array([0x30, 1, 2]));
/** Its key and proof. */
export const key = {
  case: "publicKeyRequest",
  value: { publicKey: { algorithm: 2, content }, proofOfPossession: new Uint8Array([1, 2]) },
};
/** Its token in the message. */
export const credentials = { credentials: { case: "oidcIdentityToken", value: token } };
/** The method that issues. */
export const create = "CA/CreateSigningCertificate";
/** Waits. */
export async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** A call as no client of gRPC would make it. */
export async function rawCall(
  door: Door,
  head: { readonly [name: string]: string },
  until?: Promise<unknown>,
  body: Uint8Array = Buffer.from([0, 0, 0, 0, 0]),
) {
  const session = openHttp2({ host: "127.0.0.1", port: door.tlsPort });
  const trustBundle = "/dev.sigstore.fulcio.v2.CA/GetTrustBundle";
  const creates = "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";
  const stream = session.request({
    ":method": "POST",
    ":path": until === undefined ? creates : trustBundle,
    ":authority": "localhost",
    "content-type": "application/grpc",
    te: "trailers",
    ...head,
  });
  const trailer: { [name: string]: string } = {};
  let status = 0;
  const note = (said: object): void => {
    Object.assign(trailer, said);
  };
  stream.on("response", (said) => {
    status = said[":status"] ?? 0;
    note(said);
  });
  stream.on("trailers", note);
  stream.on("error", () => undefined);
  stream.resume();
  stream.end(body);
  await new Promise((resolve) => stream.once("close", resolve));
  session.destroy();
  return { status, trailer };
}
