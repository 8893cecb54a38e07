/** Getting a certificate: Fulcio v2 REST, `POST /api/v2/signingCert`. */
import { type KeyObject, sign } from "node:crypto";
import { encodeBase64, encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { formatPem, parsePem } from "../../core/formats/pem.ts";
import { readList, readMembers, readText } from "../../core/formats/protojson.ts";
import type { IdToken } from "./id-token.ts";
import { jsonOf, request, type WilledRefusal } from "./remote.ts";
import { CommandError, exitCodes } from "./terminal.ts";

/** A P-256 key that lives as long as one signature. */
export interface EphemeralKey {
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
}

const what = "the certificate";
const maxChain = 16;

/** What the service answers whom its policy allows no certificate. */
export const refusedByPolicy: WilledRefusal = {
  status: 403,
  says: "The policy does not allow this identity a certificate",
  reason: "policy-refused",
};

/** What it answers if the CT log takes no more certificates. */
export const refusedByCt: WilledRefusal = {
  status: 500,
  says: "The CT log is frozen and takes no more certificates",
  reason: "log-frozen",
};

/** The certificate, DER, that binds the token's identity to the key. @throws {CommandError} */
export async function requestCertificate(
  origin: string,
  token: IdToken,
  { privateKey, publicKey }: EphemeralKey,
): Promise<Uint8Array> {
  const possession = sign("sha256", encodeUtf8(token.challenge), privateKey);
  const answer = await request({
    method: "POST",
    url: `${origin}/api/v2/signingCert`,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      credentials: { oidcIdentityToken: token.text },
      publicKeyRequest: {
        publicKey: { algorithm: "ECDSA", content: formatPem("PUBLIC KEY", publicKey) },
        proofOfPossession: encodeBase64(possession),
      },
    }),
    what,
    accept: [200, 201],
    refusals: [refusedByPolicy, refusedByCt],
  });
  try {
    const members = ["signedCertificateEmbeddedSct", "signedCertificateDetachedSct"] as const;
    const json = readMembers(jsonOf(answer, what), what, members);
    if (json.signedCertificateDetachedSct !== undefined) {
      throw new CommandError(
        exitCodes.failed,
        "the service puts SCTs beside its certificates (issuer.scts: detached), and no bundle has a place for one",
        { reason: "scts-detached" },
      );
    }
    const embedded = readMembers(json.signedCertificateEmbeddedSct, what, ["chain"]);
    const { certificates } = readMembers(embedded.chain, what, ["certificates"]);
    return parsePem(readText(readList(certificates, what, maxChain)[0], what), "CERTIFICATE");
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new CommandError(exitCodes.failed, `the service's answer is broken: ${cause.message}`, {
      cause,
    });
  }
}
