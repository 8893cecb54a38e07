/**
 * That a log entry is about this bundle and this artifact, and not about another one: the mistake of CVE-2022-23649, made again in
 * CVE-2026-22703. The entry's body is made anew from the bundle and compared byte for byte wherever that is possible.
 */
import { digest, sha256 } from "../../../core/crypto/hash.ts";
import { importPublicKey } from "../../../core/crypto/keys.ts";
import type { Content } from "../../../core/formats/bundle.ts";
import type { LogEntry } from "../../../core/formats/bundle-entry.ts";
import {
  decodeBase64,
  decodeHex,
  decodeUtf8,
  encodeBase64,
  encodeHex,
  encodeUtf8,
  equalBytes,
} from "../../../core/formats/encoding.ts";
import { canonicalize } from "../../../core/formats/jcs.ts";
import { type JsonValue, parseJsonBytes } from "../../../core/formats/json.ts";
import { parsePem } from "../../../core/formats/pem.ts";
import { type Field, readList, readMembers, readText } from "../../../core/formats/protojson.ts";
import {
  acceptedKeyDetails,
  canonicalBodyV2,
  keyDetailsOf,
} from "../../../core/formats/rekor-v2.ts";
import { parseCertificate } from "../../../core/formats/x509.ts";
import { pae } from "../../../core/formats/dsse.ts";
import { type EntryHash, canonicalBody } from "../../../core/formats/rekor-entry.ts";
import type { Artifact } from "./artifact.ts";
import { NotVerified } from "./not-verified.ts";

/** What an entry must be about. */
export interface Claim {
  readonly content: Content;
  /** DER of the signer's certificate. */
  readonly certificate: Uint8Array;
  readonly artifact: Artifact;
}

/**
 * Does nothing if the entry's body logs exactly the claim.
 *
 * @throws {NotVerified} if it logs something else, or is of a kind or version that is not known: then nothing is known about it.
 */
export function verifyCorrespondence(entry: LogEntry, claim: Claim): void {
  const body = readMembers(parseJsonBytes(entry.canonicalizedBody), "log entry", [
    "apiVersion",
    "kind",
    "spec",
  ]);
  if (body.kind !== entry.kind || body.apiVersion !== entry.kindVersion) {
    throw new NotVerified("log-entry", "the entry's body is of another kind than the bundle says");
  }
  const kind = `${entry.kind} ${entry.kindVersion} ${claim.content.kind}`;
  switch (kind) {
    case "hashedrekord 0.0.1 messageSignature":
      return matchHashedRekord(entry, body.spec, claim);
    case "dsse 0.0.1 dsseEnvelope":
      return matchDsse(entry, body.spec, claim);
    case "intoto 0.0.2 dsseEnvelope":
      return matchIntoto(entry, body.spec, claim);
    case "hashedrekord 0.0.2 messageSignature":
    case "hashedrekord 0.0.2 dsseEnvelope":
    case "dsse 0.0.2 dsseEnvelope":
      return matchV2(entry, claim);
  }
  throw new NotVerified(
    "log-entry",
    `log entries of kind "${entry.kind}" ${entry.kindVersion} for a ${claim.content.kind} are not supported`,
  );
}

function matchHashedRekord(entry: LogEntry, spec: Field, claim: Claim): void {
  const { data } = readMembers(spec, "hashedrekord", ["data", "signature"]);
  const hashed = readMembers(readMembers(data, "hashedrekord", ["hash"]).hash, "hashedrekord", [
    "algorithm",
    "value",
  ]);
  const hashAlgorithm = readHashName(hashed.algorithm);
  const expected = canonicalBody({
    kind: "hashedrekord",
    hashAlgorithm,
    digest: claim.artifact.digest(hashAlgorithm),
    signature: claim.content.signature,
    verifier: { label: "CERTIFICATE", der: claim.certificate },
  });
  if (equalBytes(expected, entry.canonicalizedBody)) return;
  // Only to say which it is; the comparison above is the one that counts.
  const logged = decodeHex(readText(hashed.value, "hashedrekord"));
  throw mismatch(
    equalBytes(logged, claim.artifact.digest(hashAlgorithm))
      ? "signature or certificate"
      : "artifact",
  );
}

function matchDsse(entry: LogEntry, spec: Field, claim: Claim): void {
  if (claim.content.kind !== "dsseEnvelope") throw mismatch("envelope");
  const { envelopeHash } = readMembers(spec, "dsse", ["envelopeHash", "payloadHash", "signatures"]);
  const expected = canonicalBody({
    kind: "dsse",
    // The envelope's text as it was sent is not in the bundle. Payload and signature are, and they determine the rest.
    envelopeHash: readSha256(envelopeHash),
    payloadHash: sha256(claim.content.payload),
    signatures: [
      {
        signature: claim.content.signature,
        verifier: { label: "CERTIFICATE", der: claim.certificate },
      },
    ],
  });
  if (!equalBytes(expected, entry.canonicalizedBody)) {
    throw mismatch("payload, signature or certificate");
  }
}

/** Nothing of the body is believed: the bundle determines all of it. */
function matchV2(entry: LogEntry, { content, certificate, artifact }: Claim): void {
  const { algorithm } = importPublicKey(parseCertificate(certificate).publicKey);
  const keyDetails = keyDetailsOf(algorithm);
  if (keyDetails === undefined) throw mismatch("kind of key");
  const verifier = { kind: "x509Certificate", rawBytes: certificate, keyDetails } as const;
  const { hash } = acceptedKeyDetails[keyDetails];
  const { signature } = content;
  const digestOf = () =>
    content.kind === "messageSignature"
      ? artifact.digest(hash)
      : digest(hash, pae(content.payloadType, content.payload));
  const expected = canonicalBodyV2(
    entry.kind === "dsse" && content.kind === "dsseEnvelope"
      ? {
          kind: "dsse",
          payloadHash: sha256(content.payload),
          signatures: [{ content: signature, verifier }],
        }
      : { kind: "hashedrekord", digest: digestOf(), signature, verifier },
  );
  if (!equalBytes(expected, entry.canonicalizedBody)) {
    throw mismatch("artifact, signature or certificate");
  }
}

/** Its body keeps the PEM and the nesting of base64 as the client sent them, so it is compared by its parts. */
function matchIntoto(entry: LogEntry, spec: Field, claim: Claim): void {
  if (claim.content.kind !== "dsseEnvelope") throw mismatch("envelope");
  const { content } = readMembers(spec, "intoto", ["content"]);
  const logged = readMembers(content, "intoto", ["envelope", "hash", "payloadHash"]);
  const envelope = readMembers(logged.envelope, "intoto", ["payloadType", "signatures"]);
  const [only, ...more] = readList(envelope.signatures, "intoto", 1);
  if (only === undefined || more.length > 0) throw mismatch("number of signatures");
  const signature = readMembers(only, "intoto", ["keyid", "publicKey", "sig"]);

  if (envelope.payloadType !== claim.content.payloadType) throw mismatch("payload type");
  const payloadHash = sha256(claim.content.payload);
  if (!equalBytes(readSha256(logged.payloadHash), payloadHash)) throw mismatch("payload");
  const inner = encodeBase64(encodeUtf8(encodeBase64(claim.content.signature)));
  if (readText(signature.sig, "intoto") !== inner) throw mismatch("signature");
  const pem = decodeUtf8(decodeBase64(readText(signature.publicKey, "intoto")));
  if (!equalBytes(parsePem(pem, "CERTIFICATE"), claim.certificate)) throw mismatch("certificate");
  readSha256(logged.hash);
  const body: JsonValue = parseJsonBytes(entry.canonicalizedBody);
  if (!equalBytes(encodeUtf8(canonicalize(body)), entry.canonicalizedBody)) {
    throw new NotVerified("log-entry", "the entry's body is not in canonical form");
  }
}

function readSha256(value: Field): Uint8Array {
  const digest = readMembers(value, "log entry: hash", ["algorithm", "value"]);
  const bytes = decodeHex(readText(digest.value, "log entry: hash"));
  if (digest.algorithm !== "sha256" || bytes.length !== 32) {
    throw new NotVerified(
      "log-entry",
      `the entry has a hash that is not SHA-256: ${encodeHex(bytes)}`,
    );
  }
  return bytes;
}

function readHashName(value: Field): EntryHash {
  if (value === "sha256" || value === "sha384" || value === "sha512") return value;
  throw new NotVerified("log-entry", "the entry's digest is of an unknown algorithm");
}

function mismatch(what: string): NotVerified {
  return new NotVerified("log-entry", `the log entry is for something else: another ${what}`);
}
