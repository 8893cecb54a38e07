/** Keyless signing: a key made for one signature, a certificate for it, an entry in the log, and all of it verified before it counts. */
import { createSign, generateKeyPairSync, sign } from "node:crypto";
import { type Bundle, type Content, formatBundle, parseBundle } from "../../core/formats/bundle.ts";
import { formatEnvelope, pae } from "../../core/formats/dsse.ts";
import { encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import type { JsonValue } from "../../core/formats/json.ts";
import type { TrustedRoot } from "../../core/formats/trusted-root.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { readArtifact } from "./artifact-file.ts";
import { type EphemeralKey, requestCertificate } from "./fulcio.ts";
import type { IdToken } from "./id-token.ts";
import { logEntry, proposeDsse, proposeHashedRekord } from "./rekor.ts";
import { requestTimestamp } from "./timestamp.ts";
import { CommandError, exitCodes } from "./terminal.ts";
import { loadVerifyDigest } from "./verify-digest.ts";
import type { Artifact } from "./verify/artifact.ts";
import { exactly, readIdentity } from "./verify/identity.ts";
import { statementPayloadType, statementType } from "./verify/statement.ts";
import { type Verified, verifyBundle } from "./verify/verify.ts";

/** What is signed, for whom, and where. */
export interface Signing {
  readonly origin: string;
  /** The whole URL of the timestamp authority; null if there is none. */
  readonly timestampUrl: string | null;
  readonly trustedRoot: TrustedRoot;
  readonly token: IdToken;
  /** Path of the artifact. */
  readonly path: string;
  /** Sign a statement about the artifact rather than the artifact itself. */
  readonly attestation: Attestation | null;
}

/** What is said about an artifact. */
export interface Attestation {
  readonly predicateType: string;
  readonly predicate: JsonValue;
  /** The subject's name. */
  readonly name: string;
}

/** A bundle that has been verified. */
export interface Signed {
  readonly bundle: string;
  readonly verified: Verified;
}

/** Signs, logs and verifies. Nothing is written here. @throws {CommandError} */
export async function signArtifact(signing: Signing): Promise<Signed> {
  const key = generateKey();
  const { artifact, content } =
    signing.attestation === null
      ? await signMessage(signing.path, key)
      : await signStatement(signing.path, key, signing.attestation);
  const certificate = await requestCertificate(signing.origin, signing.token, key);
  const timestamp = await requestTimestamp(signing.timestampUrl, content.signature);
  const entry = await logEntry(signing.origin, propose(content, artifact, certificate));
  const text = formatBundle({
    version: "0.3",
    signer: { kind: "certificate", leaf: certificate, others: [] },
    entries: [entry],
    timestamps: timestamp === null ? [] : [timestamp],
    content,
  });
  return { bundle: text, verified: await prove(parseBundle(text), artifact, signing.trustedRoot) };
}

function generateKey(): EphemeralKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey, publicKey: publicKey.export({ type: "spki", format: "der" }) };
}

/** Hash and signature are made from one reading: a file that changes meanwhile cannot get between them. */
async function signMessage(
  path: string,
  { privateKey }: EphemeralKey,
): Promise<{ artifact: Artifact; content: Content }> {
  const signer = createSign("sha256");
  const artifact = await readArtifact(path, [signer]);
  const content: Content = {
    kind: "messageSignature",
    digest: { algorithm: "SHA2_256", value: artifact.digest("sha256") },
    signature: signer.sign(privateKey),
  };
  return { artifact, content };
}

async function signStatement(
  path: string,
  { privateKey }: EphemeralKey,
  { name, predicateType, predicate }: Attestation,
): Promise<{ artifact: Artifact; content: Content }> {
  const artifact = await readArtifact(path);
  const digest = { sha256: encodeHex(artifact.digest("sha256")) };
  const statement = { _type: statementType, subject: [{ name, digest }], predicateType, predicate };
  const payload = encodeUtf8(JSON.stringify(statement));
  const signature = sign("sha256", pae(statementPayloadType, payload), privateKey);
  const payloadType = statementPayloadType;
  return {
    artifact,
    content: { kind: "dsseEnvelope", payload, payloadType, signature, keyid: "" },
  };
}

function propose(content: Content, artifact: Artifact, certificate: Uint8Array): string {
  switch (content.kind) {
    case "messageSignature":
      return proposeHashedRekord(artifact.digest("sha256"), content.signature, certificate);
    case "dsseEnvelope": {
      const { payload, payloadType, signature } = content;
      return proposeDsse(
        formatEnvelope({ payload, payloadType, signatures: [{ signature }] }),
        certificate,
      );
    }
  }
}

/** Whoever the certificate names is who signs; everything else must hold as for anybody who verifies later. */
async function prove(
  bundle: Bundle,
  artifact: Artifact,
  trustedRoot: TrustedRoot,
): Promise<Verified> {
  try {
    if (bundle.signer.kind !== "certificate") throw new Error("a bundle of ours has a certificate");
    const identity = readIdentity(parseCertificate(bundle.signer.leaf));
    return verifyBundle({
      bundle,
      trustedRoot,
      artifact,
      policy: {
        identity: exactly(identity.subjectAltName),
        oidcIssuer: exactly(identity.oidcIssuer),
        predicateType: null,
      },
      verifyDigest: await loadVerifyDigest(artifact),
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : "unknown error";
    throw new CommandError(
      exitCodes.failed,
      `the service's answers do not verify, nothing was written: ${reason}`,
      { cause },
    );
  }
}
