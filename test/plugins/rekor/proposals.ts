/** Proposed entries of every kind that is accepted, with keys made for the test. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { ed25519ph } from "@noble/curves/ed25519.js";
import { pae } from "../../../core/formats/dsse.ts";
import {
  decodeBase64Url,
  encodeBase64,
  encodeHex,
  encodeUtf8,
} from "../../../core/formats/encoding.ts";

/** A signer and its public key in PEM. */
export interface Signer {
  readonly privateKey: KeyObject;
  readonly pem: string;
}

type Hash = "sha256" | "sha384" | "sha512";

/** A key pair: P-256, P-384, RSA-2048, Ed25519 and so on. */
export function signer(kind: "P-256" | "P-384" | "rsa" | "rsa-1024" | "ed25519"): Signer {
  const { privateKey, publicKey } = generate(kind);
  return { privateKey, pem: publicKey.export({ format: "pem", type: "spki" }).toString() };
}

/** A `hashedrekord` of `artifact`. */
export function hashedRekord(by: Signer, artifact: Uint8Array, algorithm: Hash = "sha256") {
  const digest = new Uint8Array(createHash(algorithm).update(artifact).digest());
  const content = encodeBase64(signDigest(by.privateKey, digest, { artifact, algorithm }));
  return {
    apiVersion: "0.0.1",
    kind: "hashedrekord",
    spec: {
      data: { hash: { algorithm, value: encodeHex(digest) } },
      signature: { content, publicKey: { content: encodeBase64(encodeUtf8(by.pem)) } },
    },
  };
}

/** An envelope signed by all. */
export function envelope(by: readonly Signer[], payloadType: string, payload: Uint8Array) {
  const message = pae(payloadType, payload);
  const signatures = by.map(({ privateKey }) => {
    const hash = privateKey.asymmetricKeyType === "ed25519" ? null : "sha256";
    return { sig: encodeBase64(new Uint8Array(sign(hash, message, privateKey))) };
  });
  return { payload: encodeBase64(payload), payloadType, signatures };
}

/** A `dsse` of an envelope. */
export function dsse(enveloped: unknown, by: readonly Signer[]) {
  const verifiers = by.map(({ pem }) => encodeBase64(encodeUtf8(pem)));
  const proposedContent = { envelope: JSON.stringify(enveloped), verifiers };
  return { apiVersion: "0.0.1", kind: "dsse", spec: { proposedContent } };
}

/** An `intoto` of version 0.0.1 of an envelope. */
export function intoto1(enveloped: unknown, by: Signer) {
  const publicKey = encodeBase64(encodeUtf8(by.pem));
  const content = { envelope: JSON.stringify(enveloped) };
  return { apiVersion: "0.0.1", kind: "intoto", spec: { content, publicKey } };
}

/** An `intoto` of version 0.0.2 of an envelope: its base64 in base64 once more, and the key beside each signature. */
export function intoto2(enveloped: ReturnType<typeof envelope>, by: readonly Signer[]) {
  const twice = (base64: string) => encodeBase64(encodeUtf8(base64));
  const signatures = enveloped.signatures.map(({ sig }, at) => ({
    sig: twice(sig),
    publicKey: encodeBase64(encodeUtf8(by[at]?.pem ?? "")),
  }));
  const { payload, payloadType } = enveloped;
  const value = createHash("sha256").update(JSON.stringify(enveloped)).digest("hex");
  return {
    apiVersion: "0.0.2",
    kind: "intoto",
    spec: {
      content: {
        envelope: { payload: twice(payload), payloadType, signatures },
        hash: { algorithm: "sha256", value },
      },
    },
  };
}

/** A `rekord` of `data`. */
export function rekord(by: Signer, data: Uint8Array) {
  const hash = by.privateKey.asymmetricKeyType === "ed25519" ? null : "sha256";
  return {
    apiVersion: "0.0.1",
    kind: "rekord",
    spec: {
      data: { content: encodeBase64(data) },
      signature: {
        content: encodeBase64(new Uint8Array(sign(hash, data, by.privateKey))),
        format: "x509",
        publicKey: { content: encodeBase64(encodeUtf8(by.pem)) },
      },
    },
  };
}

/** The bytes a door would send on. */
export function bytesOf(proposed: unknown): Uint8Array {
  return encodeUtf8(JSON.stringify(proposed));
}

function generate(kind: Parameters<typeof signer>[0]) {
  if (kind === "ed25519") return generateKeyPairSync("ed25519");
  if (kind === "rsa" || kind === "rsa-1024") {
    return generateKeyPairSync("rsa", { modulusLength: kind === "rsa" ? 2048 : 1024 });
  }
  return generateKeyPairSync("ec", { namedCurve: kind });
}

/** node:crypto signs messages only, so a hash that is not the curve's own is signed elsewhere. */
function signDigest(
  key: KeyObject,
  digest: Uint8Array,
  { artifact, algorithm }: { readonly artifact: Uint8Array; readonly algorithm: Hash },
): Uint8Array {
  if (key.asymmetricKeyType !== "ed25519") {
    return new Uint8Array(sign(algorithm, artifact, key));
  }
  const secret = decodeBase64Url(key.export({ format: "jwk" }).d ?? "");
  return digest.length === 64
    ? ed25519ph.sign(artifact, secret)
    : new Uint8Array(sign(null, digest, key));
}
