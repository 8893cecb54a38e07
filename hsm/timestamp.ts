/** RFC 3161 tokens: the vault writes TSTInfo and signed attributes itself and puts the CMS together around its signature. */
import { encodeHex } from "../core/formats/encoding.ts";
import { Malformed } from "../core/formats/malformed.ts";
import {
  formatSignedAttributes,
  formatSigner,
  formatTimestampToken,
  formatTstInfo,
} from "../core/formats/tsp.ts";
import { parseCertificate } from "../core/formats/x509.ts";
import { Failure } from "../events/failure.ts";
import type { Signable } from "../events/hsm.ts";
import { signatureAlgorithmOf } from "./certificate.ts";
import type { VaultKey } from "./keyring.ts";
import type { Prepared } from "./prepared.ts";

/** How far from the vault's clock a time may be that it signs. */
const maxSkewMs = 5_000;
const accuracySeconds = 1;

/** @throws {Failure} purpose-refused. @throws {Malformed} if a field is out of bounds */
export function prepareTimestamp(
  signable: Extract<Signable, { purpose: "timestamp" }>,
  key: VaultKey,
  nowMs: number,
): Prepared {
  const [own, ...above] = key.chain ?? [];
  if (own === undefined || key.policy === undefined || signable.policy !== key.policy) {
    throw new Failure("purpose-refused", `${key.label} does not sign under this timestamp policy`);
  }
  const { hashAlgorithm, messageImprint, policy, serial, nonce, genTimeMs } = signable;
  if (Math.abs(Number(genTimeMs) - nowMs) > maxSkewMs) {
    throw new Malformed("timestamp: genTime is not now");
  }
  const { certificate, signer } = authorityOf(key, own);
  const genTime = new Date(Number(genTimeMs));
  const signatureAlgorithm = signatureAlgorithmOf(key);
  const tstInfo = formatTstInfo({
    policy,
    hashAlgorithm,
    messageImprint,
    serial,
    genTime,
    accuracySeconds,
    tsaName: certificate.subject,
    ...(nonce && { nonce }),
  });
  const signedAttributes = formatSignedAttributes({
    tstInfo,
    signingTime: genTime,
    certificate,
    signer,
    signatureAlgorithm,
  });
  return {
    messages: [signedAttributes],
    claim: { kind: "stamp", genTimeMs, serial },
    binding: { kind: "stamp", genTimeMs: genTimeMs.toString(), serial: encodeHex(serial) },
    signed: ([signature = new Uint8Array()]) =>
      formatTimestampToken({
        tstInfo,
        signedAttributes,
        signatureAlgorithm,
        signature,
        certificate,
        includeCertificate: signable.includeCertificate,
        ...(signable.includeChain === true && { above }),
      }),
  };
}

/** What of a token is its key's own: read once, because timestamps come often and keyrings never change. */
const authorities = new WeakMap<VaultKey, ReturnType<typeof readAuthority>>();

function authorityOf(key: VaultKey, own: Uint8Array): ReturnType<typeof readAuthority> {
  const authority = authorities.get(key) ?? readAuthority(own);
  authorities.set(key, authority);
  return authority;
}

function readAuthority(own: Uint8Array) {
  const certificate = parseCertificate(own);
  return { certificate, signer: formatSigner(certificate) };
}
