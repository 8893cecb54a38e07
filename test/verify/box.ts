/** Bundles of an instance in memory, and what is demanded of them. */
import { createHash, sign } from "node:crypto";
import { type Bundle, formatBundle, parseBundle } from "../../core/formats/bundle.ts";
import { pae } from "../../core/formats/dsse.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { canonicalBody } from "../../core/formats/rekor-entry.ts";
import type { TrustedRoot } from "../../core/formats/trusted-root.ts";
import { artifactOf } from "../../plugins/client/verify/artifact.ts";
import { exactly, type Policy } from "../../plugins/client/verify/identity.ts";
import { verifyBundle } from "../../plugins/client/verify/verify.ts";
import {
  boxKey,
  type SigstoreBox,
  sigstoreBox,
  type Spoil,
  type Who,
} from "../support/sigstore-box.ts";

/** When everything came into use. */
export const start = new Date("2026-01-01T00:00:00Z");
/** When things are signed. */
export const at = new Date("2026-06-01T12:00:00Z");
/** What is signed. */
export const artifact = encodeUtf8("what is signed\n");
const who: Who = {
  san: { kind: "email", value: "alice@example.com" },
  oidcIssuer: "http://localhost/oidc",
  at,
};
/** Who must have signed. */
export const policy = { identity: exactly(who.san.value), oidcIssuer: exactly(who.oidcIssuer) };
/** The instance that the tests trust. */
export const box = sigstoreBox(start);

/** A bundle with a message signature. */
export function signed(by: SigstoreBox, spoil: Spoil = {}, loggedAt = at): Bundle {
  const key = boxKey();
  const leaf = by.certify(key.spki, who, spoil);
  const signature = new Uint8Array(sign("sha256", artifact, key.privateKey));
  const digest = sha256(artifact);
  const verifier = { label: "CERTIFICATE", der: leaf } as const;
  const body = canonicalBody({
    kind: "hashedrekord",
    hashAlgorithm: "sha256",
    digest,
    signature,
    verifier,
  });
  return {
    version: "0.3",
    signer: { kind: "certificate", leaf, others: [] },
    entries: [by.log(body, "hashedrekord", loggedAt, spoil)],
    timestamps: [],
    content: {
      kind: "messageSignature",
      digest: { algorithm: "SHA2_256", value: digest },
      signature,
    },
  };
}

/** A bundle with an envelope around `statement`. */
export function attested(statement: unknown, payloadType = "application/vnd.in-toto+json"): Bundle {
  const key = boxKey();
  const leaf = box.certify(key.spki, who);
  const payload = encodeUtf8(typeof statement === "string" ? statement : JSON.stringify(statement));
  const signature = new Uint8Array(sign("sha256", pae(payloadType, payload), key.privateKey));
  const body = canonicalBody({
    kind: "dsse",
    envelopeHash: sha256(payload),
    payloadHash: sha256(payload),
    signatures: [{ signature, verifier: { label: "CERTIFICATE", der: leaf } }],
  });
  return {
    version: "0.3",
    signer: { kind: "certificate", leaf, others: [] },
    entries: [box.log(body, "dsse", at)],
    timestamps: [],
    content: { kind: "dsseEnvelope", payload, payloadType, signature, keyid: "" },
  };
}

/** Verifies after a round trip through the text. */
export function verify(
  bundle: Bundle,
  {
    trustedRoot = box.trustedRoot,
    bytes = artifact,
    demand = policy,
    predicateType = null,
  }: {
    trustedRoot?: TrustedRoot;
    bytes?: Uint8Array;
    demand?: Policy;
    predicateType?: string | null;
  } = {},
) {
  return verifyBundle({
    bundle: parseBundle(formatBundle(bundle)),
    trustedRoot,
    artifact: artifactOf(bytes),
    policy: { ...demand, predicateType },
    verifyDigest: () => false,
  });
}

/** SHA-256. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
