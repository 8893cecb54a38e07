/**
 * Sigstore bundles: a signature with everything needed to verify it. sigstore protobuf-specs 0.5.2, `sigstore_bundle.proto`.
 * Versions 0.1 to 0.3 are read, 0.3 is written.
 */
import type { BundleVersion, LogEntry } from "./bundle-entry.ts";
import { entryJson, maxEvidence, parseEntries } from "./bundle-entry.ts";
import { encodeBase64 } from "./encoding.ts";
import { parseJson } from "./json.ts";
import { Malformed } from "./malformed.ts";
import type { Field } from "./protojson.ts";
import { readBytes, readList, readMembers, readOptionalText, readText } from "./protojson.ts";

/** The media type we write. */
const bundleMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json";

/** A signature with everything needed to verify it. */
export interface Bundle {
  readonly version: BundleVersion;
  readonly signer: Signer;
  /** No two of one log and index. */
  readonly entries: readonly LogEntry[];
  /** RFC 3161 TimeStampResp, DER. */
  readonly timestamps: readonly Uint8Array[];
  readonly content: Content;
}

/** What the signature's key is known by. */
type Signer =
  | {
      readonly kind: "certificate";
      /** DER. */
      readonly leaf: Uint8Array;
      /** What versions before 0.3 carry besides the leaf, DER. Never to be trusted. */
      readonly others: readonly Uint8Array[];
    }
  | { readonly kind: "publicKey"; readonly hint: string };

/** What was signed, and the signature. */
export type Content =
  | {
      readonly kind: "messageSignature";
      /** Absent is legal, Protobuf calls it a hint. */
      readonly digest: { readonly algorithm: DigestAlgorithm; readonly value: Uint8Array } | null;
      readonly signature: Uint8Array;
    }
  | {
      readonly kind: "dsseEnvelope";
      readonly payload: Uint8Array;
      readonly payloadType: string;
      readonly signature: Uint8Array;
      /** Not signed, means nothing; may be empty. */
      readonly keyid: string;
    };

/** Names of protobuf-specs' HashAlgorithm. */
export type DigestAlgorithm = "SHA2_256" | "SHA2_384" | "SHA2_512";

/**
 * Parses a bundle of version 0.1, 0.2 or 0.3.
 *
 * @throws {Malformed} on anything its version does not provide for: unknown media types and fields, no or two signers, no or two
 * contents, more or fewer than one DSSE signature, too many or repeated entries, a missing promise (0.1) or proof (later).
 */
export function parseBundle(text: string): Bundle {
  const json = readMembers(parseJson(text), "bundle", [
    "mediaType",
    "verificationMaterial",
    "messageSignature",
    "dsseEnvelope",
  ]);
  const version = versions.get(readText(json.mediaType, "bundle: mediaType"));
  if (version === undefined) throw new Malformed("bundle: unknown media type");
  const material = readMembers(json.verificationMaterial, "bundle: verificationMaterial", [
    "certificate",
    "x509CertificateChain",
    "publicKey",
    "tlogEntries",
    "timestampVerificationData",
  ]);
  return {
    version,
    signer: parseSigner(version, material),
    entries: parseEntries(version, material.tlogEntries),
    timestamps: parseTimestamps(material.timestampVerificationData),
    content: parseContent(json),
  };
}

/** The bundle's text in version 0.3, without white space. @throws {Malformed} if it was parsed from another version. */
export function formatBundle(bundle: Bundle): string {
  if (bundle.version !== "0.3") throw new Malformed("bundle: only version 0.3 is written");
  const { signer, entries, timestamps, content } = bundle;
  const json = {
    mediaType: bundleMediaType,
    verificationMaterial: {
      ...(signer.kind === "certificate"
        ? { certificate: { rawBytes: encodeBase64(signer.leaf) } }
        : { publicKey: { hint: signer.hint } }),
      tlogEntries: entries.map(entryJson),
      ...(timestamps.length === 0
        ? {}
        : {
            timestampVerificationData: {
              rfc3161Timestamps: timestamps.map((der) => ({ signedTimestamp: encodeBase64(der) })),
            },
          }),
    },
    ...contentJson(content),
  };
  return JSON.stringify(json);
}

const versions: ReadonlyMap<string, BundleVersion> = new Map([
  ["application/vnd.dev.sigstore.bundle+json;version=0.1", "0.1"],
  ["application/vnd.dev.sigstore.bundle+json;version=0.2", "0.2"],
  ["application/vnd.dev.sigstore.bundle+json;version=0.3", "0.3"],
  [bundleMediaType, "0.3"],
]);

const digestBytes: Readonly<Record<DigestAlgorithm, number>> = {
  SHA2_256: 32,
  SHA2_384: 48,
  SHA2_512: 64,
};
const maxChain = 16;

function parseSigner(
  version: BundleVersion,
  material: Readonly<Record<"certificate" | "x509CertificateChain" | "publicKey", Field>>,
): Signer {
  const { certificate, x509CertificateChain: chain, publicKey } = material;
  if ([certificate, chain, publicKey].filter((one) => one !== undefined).length !== 1) {
    throw new Malformed("bundle: expected exactly one certificate or public key");
  }
  if (publicKey !== undefined) {
    const { hint } = readMembers(publicKey, "bundle: publicKey", ["hint"]);
    return { kind: "publicKey", hint: readOptionalText(hint, "bundle: publicKey.hint") };
  }
  if (certificate !== undefined) {
    if (version !== "0.3") throw new Malformed(`bundle: version ${version} has no "certificate"`);
    return { kind: "certificate", leaf: parseCertificateBytes(certificate), others: [] };
  }
  if (version === "0.3") throw new Malformed("bundle: version 0.3 has no certificate chain");
  const { certificates } = readMembers(chain, "bundle: x509CertificateChain", ["certificates"]);
  const [leaf, ...others] = readList(certificates, "bundle: x509CertificateChain", maxChain);
  if (leaf === undefined) throw new Malformed("bundle: the certificate chain is empty");
  return {
    kind: "certificate",
    leaf: parseCertificateBytes(leaf),
    others: others.map(parseCertificateBytes),
  };
}

function parseCertificateBytes(value: Field): Uint8Array {
  const { rawBytes } = readMembers(value, "bundle: certificate", ["rawBytes"]);
  return readBytes(rawBytes, "bundle: certificate");
}

function parseTimestamps(value: Field): Uint8Array[] {
  if (value === undefined) return [];
  const where = "bundle: timestampVerificationData";
  const { rfc3161Timestamps } = readMembers(value, where, ["rfc3161Timestamps"]);
  const timestamps = readList(rfc3161Timestamps, where, maxEvidence).map((item) =>
    readBytes(readMembers(item, where, ["signedTimestamp"]).signedTimestamp, where),
  );
  if (new Set(timestamps.map(encodeBase64)).size !== timestamps.length) {
    throw new Malformed("bundle: a timestamp is given twice");
  }
  return timestamps;
}

function parseContent({
  messageSignature,
  dsseEnvelope,
}: Readonly<Record<"messageSignature" | "dsseEnvelope", Field>>): Content {
  if ((messageSignature === undefined) === (dsseEnvelope === undefined)) {
    throw new Malformed("bundle: expected exactly one of messageSignature and dsseEnvelope");
  }
  return dsseEnvelope === undefined
    ? parseMessageSignature(messageSignature)
    : parseEnvelope(dsseEnvelope);
}

function parseMessageSignature(value: Field): Content {
  const where = "bundle: messageSignature";
  const { messageDigest, signature } = readMembers(value, where, ["messageDigest", "signature"]);
  return {
    kind: "messageSignature",
    digest: messageDigest === undefined ? null : parseDigest(messageDigest),
    signature: readBytes(signature, `${where}.signature`),
  };
}

function parseDigest(value: Field): { algorithm: DigestAlgorithm; value: Uint8Array } {
  const where = "bundle: messageSignature.messageDigest";
  const { algorithm, digest } = readMembers(value, where, ["algorithm", "digest"]);
  if (algorithm !== "SHA2_256" && algorithm !== "SHA2_384" && algorithm !== "SHA2_512") {
    throw new Malformed(`${where}: unknown algorithm`);
  }
  const bytes = readBytes(digest, where);
  if (bytes.length !== digestBytes[algorithm]) throw new Malformed(`${where}: length`);
  return { algorithm, value: bytes };
}

function parseEnvelope(value: Field): Content {
  const where = "bundle: dsseEnvelope";
  const envelope = readMembers(value, where, ["payload", "payloadType", "signatures"]);
  const [only, ...more] = readList(envelope.signatures, `${where}.signatures`, maxEvidence);
  if (only === undefined || more.length > 0) {
    throw new Malformed(`${where}: expected exactly one signature`);
  }
  const { sig, keyid } = readMembers(only, `${where}.signatures`, ["sig", "keyid"]);
  return {
    kind: "dsseEnvelope",
    payload: readBytes(envelope.payload, `${where}.payload`),
    payloadType: readText(envelope.payloadType, `${where}.payloadType`),
    signature: readBytes(sig, `${where}.signatures`),
    keyid: readOptionalText(keyid, `${where}.signatures.keyid`),
  };
}

function contentJson(content: Content): object {
  if (content.kind === "messageSignature") {
    const { digest, signature } = content;
    return {
      messageSignature: {
        ...(digest === null
          ? {}
          : {
              messageDigest: { algorithm: digest.algorithm, digest: encodeBase64(digest.value) },
            }),
        signature: encodeBase64(signature),
      },
    };
  }
  const { payload, payloadType, signature, keyid } = content;
  const signatures = [{ sig: encodeBase64(signature), ...(keyid === "" ? {} : { keyid }) }];
  return { dsseEnvelope: { payload: encodeBase64(payload), payloadType, signatures } };
}
