/** Signatures of a `rekord` that are in a format of their own: OpenSSH's and minisign's. */
import { hash } from "node:crypto";
import type { PublicKey } from "../../core/crypto/keys.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import { equalBytes } from "../../core/formats/encoding.ts";
import type { RekordSignature } from "../../core/formats/rekor-rekord.ts";
import { sshSignedData } from "../../core/formats/ssh-signature.ts";

type By<Format> = Extract<RekordSignature, { readonly format: Format }>;

/** True if `key`, which the entry and the signature both name, signed the data as a file. */
export function isSshSigned(
  key: PublicKey,
  data: Uint8Array,
  { signature, key: named }: By<"ssh">,
): boolean {
  if (!equalBytes(signature.key.blob, named.blob)) return false;
  const message = sshSignedData(signature, hash(signature.messageHash, data, "buffer"));
  return verifySignature(key, message, signature.signature, signature.hash ?? undefined);
}

/** True if `key`, which the signature names by its id, signed the data, and the trusted comment if there is one. */
export function isMinisigned(
  key: PublicKey,
  data: Uint8Array,
  { signature, key: named }: By<"minisign">,
): boolean {
  if (!equalBytes(signature.keyId, named.id)) return false;
  const { isPrehashed, trusted } = signature;
  const message = isPrehashed ? hash("blake2b512", data, "buffer") : data;
  if (!verifySignature(key, message, signature.signature)) return false;
  return trusted === null || verifySignature(key, trusted.message, trusted.signature);
}
