/**
 * Requests for certificates in each of Fulcio's forms, as the one question the issuer answers. What is malformed inside gets the code
 * that Fulcio has for it.
 */
import * as v from "valibot";
import { decodeBase64, decodeUtf8, encodeUtf8 } from "../../core/formats/encoding.ts";
import { parseRequestJson } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { parsePem } from "../../core/formats/pem.ts";
import type { QuestionOf } from "../../events/contract.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";
import type { issueCertificate } from "../../events/issuer.ts";
import { certificateRequest, legacyCertificateRequest } from "./fulcio-schema.ts";

/** Who asks for a certificate, and with which key. */
export type Question = QuestionOf<typeof issueCertificate>;

/** What a request comes to, before its parts are decoded. Bytes are as the protocol carries them. */
export interface Parts {
  /** From the message. */
  readonly inBody: string;
  /** From the header or metadata. */
  readonly inHeader: string | undefined;
  /** PEM; empty if there is none. */
  readonly csr: () => Uint8Array;
  readonly hasCsr: boolean;
  readonly hasKey: boolean;
  /** SubjectPublicKeyInfo: PEM, or DER where the form allows it. */
  readonly key: () => Uint8Array;
  readonly possession: () => Uint8Array;
}

/** No request for a certificate is larger. Whatever is, is not even parsed. */
export const maxRequestBytes = 262_144;
const maxTokenLength = 16_384;
const maxKeyLength = 16_384;
const pemBegin = encodeUtf8("-----BEGIN");

/** A v2 request. @throws {Malformed} or {Failure} */
export function parseRequest(body: Uint8Array, authorization: string | undefined): Question {
  const {
    credentials,
    publicKeyRequest: key,
    certificateSigningRequest: csr,
  } = parseBody(certificateRequest, body);
  return questionOf({
    inBody: credentials?.oidcIdentityToken ?? "",
    inHeader: readBearer(authorization),
    hasCsr: (csr ?? "") !== "",
    csr: () => decodeBase64(csr ?? ""),
    hasKey: (key ?? null) !== null,
    key: () => encodeUtf8(key?.publicKey?.content ?? ""),
    possession: () => decodeBase64(key?.proofOfPossession ?? ""),
  });
}

/** A v1 request: its token is in the header alone, and a certificate request counts more than a key. @throws {Malformed} or {Failure} */
export function parseLegacyRequest(body: Uint8Array, authorization: string | undefined): Question {
  const {
    publicKey: key,
    signedEmailAddress,
    certificateSigningRequest: csr,
  } = parseBody(legacyCertificateRequest, body);
  const hasCsr = (csr ?? "") !== "";
  return questionOf({
    inBody: "",
    inHeader: readBearer(authorization),
    hasCsr,
    csr: () => decodeBase64(csr ?? ""),
    hasKey: !hasCsr,
    key: () => decodeBase64(key?.content ?? ""),
    possession: () => decodeBase64(signedEmailAddress ?? ""),
  });
}

/** The question that the parts of a request come to. @throws {Malformed} or {Failure} */
export function questionOf({ hasKey, hasCsr, ...parts }: Parts): Question {
  const idToken = agreedToken(parts.inBody, parts.inHeader);
  if (hasKey === hasCsr) {
    throw new Malformed("fulcio: expected either a public key or a certificate signing request");
  }
  if (hasCsr) {
    const request = refusing("request-malformed", () =>
      parsePem(decodeUtf8(parts.csr()), "CERTIFICATE REQUEST"),
    );
    return { idToken, proof: { kind: "request", request } };
  }
  const publicKey = refusing("key-malformed", () => readKey(parts.key()));
  const possession = refusing("possession-unproven", () => {
    const bytes = parts.possession();
    if (bytes.length === 0) throw new Malformed("fulcio: no proof of possession");
    return bytes;
  });
  return { idToken, proof: { kind: "possession", publicKey, possession } };
}

function parseBody<S extends v.GenericSchema>(schema: S, body: Uint8Array): v.InferOutput<S> {
  if (body.length > maxRequestBytes) throw new Malformed("fulcio: the request is too large");
  const parsed = v.safeParse(schema, parseRequestJson(body), { abortEarly: true });
  if (parsed.success) return parsed.output;
  const member = String(parsed.issues[0].path?.at(-1)?.key);
  const code = memberCodes.get(member);
  if (code !== undefined) throw new Failure(code, `"${member}" is no text`);
  throw new Malformed("fulcio: a member is not of its type");
}

/** Members whose absence has a code of its own, and so has another type in their place. */
const memberCodes: ReadonlyMap<string, FailureCode> = new Map([
  ["oidcIdentityToken", "identity-rejected"],
  ["content", "key-malformed"],
  ["proofOfPossession", "possession-unproven"],
  ["signedEmailAddress", "possession-unproven"],
]);

/** From the body or the header; from both only if they agree. */
function agreedToken(inBody: string, inHeader: string | undefined): string {
  const token = inBody === "" ? inHeader : inBody;
  const agreed = inHeader === undefined || inHeader === token;
  if (token === undefined || token === "" || token.length > maxTokenLength || !agreed) {
    throw new Failure("identity-rejected", "no token, or two");
  }
  return token;
}

function readBearer(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined;
  const token = /^bearer +([!-~]+)$/i.exec(authorization)?.[1];
  if (token === undefined) throw new Failure("identity-rejected", "not a bearer token");
  return token;
}

/** In v1 and in gRPC a key may be DER, in v2 it is PEM: DER is no text that JSON could hold. */
function readKey(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0 || bytes.length > maxKeyLength) throw new Malformed("fulcio: no key");
  const isPem = pemBegin.every((byte, at) => byte === bytes[at]);
  return isPem || bytes[0] !== 0x30 ? parsePem(decodeUtf8(bytes), "PUBLIC KEY") : bytes;
}

/** What is malformed inside gets the code the API has for it. */
function refusing<T>(code: FailureCode, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    throw new Failure(code, thrown.message, { cause: thrown });
  }
}
