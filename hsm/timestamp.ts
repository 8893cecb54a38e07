/** RFC 3161 tokens: the vault writes TSTInfo and signed attributes itself and puts the CMS together around its signature. */
import { encodeHex } from "../core/formats/encoding.ts";
import { Malformed } from "../core/formats/malformed.ts";
import { TokenWriter } from "../core/formats/tsp-writer.ts";
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
  const writer = writerOf(key, { own, above, policy });
  const genTime = new Date(Number(genTimeMs));
  const tstInfo = writer.tstInfo({ hashAlgorithm, messageImprint, serial, genTime, nonce });
  const signedAttributes = writer.signedAttributes(tstInfo, genTime);
  const { includeCertificate, includeChain } = signable;
  const certificates = !includeCertificate ? "none" : includeChain === true ? "chain" : "own";
  return {
    messages: [signedAttributes],
    claim: { kind: "stamp", genTimeMs, serial },
    binding: { kind: "stamp", genTimeMs: genTimeMs.toString(), serial: encodeHex(serial) },
    signed: ([signature = new Uint8Array()]) =>
      writer.token({ tstInfo, signedAttributes, signature, certificates }),
  };
}

/** What writes a key's tokens: made once, because timestamps come often and keyrings never change. */
const writers = new WeakMap<VaultKey, TokenWriter>();

function writerOf(
  key: VaultKey,
  {
    own,
    above,
    policy,
  }: { readonly own: Uint8Array; readonly above: readonly Uint8Array[]; readonly policy: string },
): TokenWriter {
  const made =
    writers.get(key) ??
    new TokenWriter({
      policy,
      certificate: parseCertificate(own),
      above,
      signatureAlgorithm: signatureAlgorithmOf(key),
      accuracySeconds,
    });
  writers.set(key, made);
  return made;
}
