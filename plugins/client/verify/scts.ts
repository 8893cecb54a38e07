/** That the certificate was shown to certificate transparency before it was used: RFC 6962 §3.2 and §3.3. */
import { sha256 } from "../../../core/crypto/hash.ts";
import { importPublicKey } from "../../../core/crypto/keys.ts";
import { verifySignature } from "../../../core/crypto/verify.ts";
import { readDer, readOctetString } from "../../../core/formats/der.ts";
import { encodeBase64, equalBytes } from "../../../core/formats/encoding.ts";
import { withoutSctList } from "../../../core/formats/leaf-profile.ts";
import { Malformed } from "../../../core/formats/malformed.ts";
import {
  type Sct,
  parseDigitallySigned,
  parseSctList,
  sctSignatureInput,
} from "../../../core/formats/sct.ts";
import { type TrustedLog, covers } from "../../../core/formats/trusted-root.ts";
import { type Certificate, extensionOids, findExtension } from "../../../core/formats/x509.ts";
import { NotVerified } from "./not-verified.ts";

/** More than any issuer embeds; bounds the work a bundle can ask for. */
const maxScts = 32;

/**
 * Verifies every SCT in `leaf`.
 *
 * @returns the number of different logs that promised to log the certificate.
 * @throws {NotVerified} if there is none, one does not verify, or is of a log that is unknown or was not in use.
 */
export function verifyScts(
  leaf: Certificate,
  issuer: Certificate,
  ctlogs: readonly TrustedLog[],
): number {
  const extension = findExtension(leaf, extensionOids.sctList);
  if (extension === undefined) {
    throw new NotVerified("sct", "the certificate was not logged: it has no SCT");
  }
  const scts = parseSctList(readOctetString(readDer(extension.value)));
  if (scts.length > maxScts) throw new Malformed(`sct list: more than ${maxScts}`);
  const entry = {
    kind: "precertificate",
    issuerKeyHash: sha256(issuer.publicKey),
    tbs: withoutSctList(leaf.tbs),
  } as const;
  for (const sct of scts) {
    const { timestampMs, extensions } = sct;
    verifySct(sct, sctSignatureInput({ ...entry, timestampMs, extensions }), ctlogs);
  }
  return new Set(scts.map(({ logId }) => encodeBase64(logId))).size;
}

function verifySct(sct: Sct, input: Uint8Array, ctlogs: readonly TrustedLog[]): void {
  const trusted = ctlogs.find(({ logId }) => equalBytes(logId, sct.logId));
  if (trusted === undefined) {
    throw new NotVerified("sct", "the SCT is of a log that the trusted root does not know");
  }
  if (!covers(trusted.validFor, new Date(Number(sct.timestampMs)))) {
    throw new NotVerified("sct", "the SCT was made when the log's key was not in use");
  }
  const signed = parseDigitallySigned(sct.signature);
  const key = importPublicKey(trusted.publicKey);
  if (!verifySignature(key, input, signed.signature, signed.hash)) {
    throw new NotVerified("sct", "the SCT does not verify");
  }
}
