/**
 * Verifying a bundle, as the Sigstore client specification says (architecture-docs, client-spec.md). Each step returns evidence for the
 * next one or throws; none can be skipped.
 */
import type { Bundle } from "../../../core/formats/bundle.ts";
import type { TrustedRoot } from "../../../core/formats/trusted-root.ts";
import { parseCertificate } from "../../../core/formats/x509.ts";
import { type Artifact } from "./artifact.ts";
import { verifyChain } from "./chain.ts";
import { verifyEntries } from "./entries.ts";
import { type Identity, type Policy, checkIdentity, readIdentity } from "./identity.ts";
import { NotVerified } from "./not-verified.ts";
import { verifyScts } from "./scts.ts";
import { type VerifyDigest, verifyContent } from "./signature.ts";
import { verifyTimestamps } from "./timestamps.ts";

/** What is to be believed, and under which conditions. */
export interface Question {
  readonly bundle: Bundle;
  /** Never from the service that made the bundle. */
  readonly trustedRoot: TrustedRoot;
  readonly artifact: Artifact;
  readonly policy: Policy & { readonly predicateType: string | null };
  readonly verifyDigest: VerifyDigest;
}

/** What has been proven. */
export interface Verified {
  readonly identity: Identity;
  /** When the signature existed at the latest, as signed by each log and timestamp authority. */
  readonly times: readonly Date[];
  /** Indices of the entries in their logs. */
  readonly indices: readonly bigint[];
}

/**
 * Verifies all of it.
 *
 * @throws {NotVerified} if anything is untrue or unproven.
 * @throws {Malformed} if anything breaks its format.
 */
export function verifyBundle(question: Question): Verified {
  const { bundle, trustedRoot, artifact, policy, verifyDigest } = question;
  const { content, entries } = bundle;
  const leaf = parseCertificate(certificateOf(bundle));

  const claim = { content, certificate: leaf.der, artifact };
  const logged = verifyEntries(entries, trustedRoot.tlogs, claim);
  const times = signingTimes(bundle, trustedRoot, logged.times);
  for (const time of times) {
    const issuer = verifyChain(leaf, trustedRoot.certificateAuthorities, time);
    verifyScts(leaf, issuer, trustedRoot.ctlogs);
  }
  verifyContent(leaf.publicKey, {
    content,
    artifact,
    predicateType: policy.predicateType,
    verifyDigest,
  });
  const identity = readIdentity(leaf);
  checkIdentity(identity, policy);
  return { identity, times, indices: entries.map(({ index }) => index) };
}

function certificateOf({ signer }: Bundle): Uint8Array {
  switch (signer.kind) {
    case "certificate":
      return signer.leaf;
    case "publicKey":
      throw new NotVerified(
        "certificate",
        "the bundle is signed with a bare key; only certificates with an identity are supported",
      );
  }
}

/** At least one: without a proven time the certificate, valid for minutes, means nothing. */
function signingTimes(
  { timestamps, content }: Bundle,
  { timestampAuthorities }: TrustedRoot,
  logTimes: readonly Date[],
): readonly Date[] {
  const times = [
    ...logTimes,
    ...verifyTimestamps(timestamps, timestampAuthorities, content.signature),
  ];
  if (times.length === 0) {
    throw new NotVerified(
      "signing-time",
      "the time of signing is unproven: no log entry has a signed entry timestamp, and there is no RFC 3161 timestamp",
    );
  }
  return times;
}
