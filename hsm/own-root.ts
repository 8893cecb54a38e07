/**
 * A CA that is its own root: the vault writes the certificate itself and signs it with the key it is about, as it signs everything, with
 * an intent before and the signature verified after. Only beside another such CA: where a root is offline, that certifies.
 */
import { hash } from "node:crypto";
import { importPublicKey } from "../core/crypto/keys.ts";
import { isSignedBy } from "../core/crypto/signed.ts";
import type { Envelope } from "../core/plugin.ts";
import { equalBytes } from "../core/formats/encoding.ts";
import {
  formatCertificate,
  formatName,
  formatTbs,
  parseCertificate,
  parseTbs,
} from "../core/formats/x509.ts";
import type { Out } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import type { certifySelf } from "../events/hsm.ts";
import { lintAuthority } from "./ceremony/lint.ts";
import { authorityExtensions } from "./ceremony/profiles.ts";
import { signatureAlgorithmOf } from "./certificate.ts";
import { isUsed, type Keyring, type VaultKey } from "./keyring.ts";
import type { Ledger } from "./ledger.ts";
import { intentOf, newJob } from "./job.ts";
import type { Vault } from "./vault.ts";

const longestMs = 31n * 366n * 86_400_000n;
const endOfCalendarMs = BigInt(Date.UTC(9999, 0));

/** What such a certificate says besides its key. */
type OwnRootFields = Omit<Out<(typeof certifySelf)["question"]>, "key">;

/** The certificate without its signature: the same bytes for the same question. */
export function ownRootTbs(
  { algorithm, publicKey }: Pick<VaultKey, "algorithm" | "publicKey">,
  { organization, commonName, serial, notBeforeMs, notAfterMs }: OwnRootFields,
): Uint8Array {
  // Also what no calendar can say ends here.
  if (notAfterMs - notBeforeMs > longestMs || notAfterMs > endOfCalendarMs) {
    throw refused("the certificate's term is too long");
  }
  const name = formatName({ organization, commonName });
  const tbs = formatTbs({
    serial,
    issuer: name,
    subject: name,
    notBefore: new Date(Number(notBeforeMs)),
    notAfter: new Date(Number(notAfterMs)),
    publicKey,
    signatureAlgorithm: signatureAlgorithmOf({ algorithm }),
    extensions: authorityExtensions("single", { subject: publicKey, issuer: publicKey }),
  });
  lintAuthority(tbs, "single");
  return tbs;
}

/** CAs of the keyring that are their own roots, each certificate DER. */
export function ownRootsOf(keys: Keyring["keys"]): readonly Uint8Array[] {
  return keys.flatMap(({ purposes, chain = [] }) =>
    purposes.includes("certificate") && chain.length === 1 ? chain : [],
  );
}

/** @throws {Failure} operation-refused unless the key may become its own root, under a name that no other CA has. */
function requireOwnRoot(key: VaultKey, tbs: Uint8Array, keys: Keyring["keys"]): void {
  if (!key.purposes.includes("certificate")) {
    throw refused(`"${key.label}" does not sign certificates`);
  }
  if (key.purposes.length > 1 || key.origin !== undefined) {
    throw refused(`"${key.label}" signs more than certificates: make a key for them alone`);
  }
  if (!isUsed(key)) throw refused(`"${key.label}" is retired: make another key`);
  const cas = keys.filter(({ purposes, chain }) => purposes.includes("certificate") && chain);
  if (cas.length === 0 || cas.some(({ chain }) => chain?.length !== 1)) {
    throw refused("the CA in use is not its own root: what is above it certifies the next one");
  }
  // Verifiers look for an issuer by its name.
  const { subject } = parseTbs(tbs);
  const others = cas.filter(({ label }) => label !== key.label).flatMap(({ chain }) => chain ?? []);
  if (others.some((one) => equalBytes(parseCertificate(one).subject, subject))) {
    throw refused("another CA has this name already: choose another common name");
  }
}

interface Parts {
  readonly keyring: Keyring;
  readonly ledger: Ledger;
  /** Whose signer signs: a key that it does not use any more becomes no CA. */
  readonly vault: Vault;
}

/**
 * The certificate of a key of the keyring: the one that it has, or else one that is announced in the ledger and signed. Killed before the
 * keyring has it, nobody was given it, and asked again the same certificate is signed once more.
 *
 * @throws {Failure} operation-refused or key-unavailable, or {VaultRefused}
 */
export async function certifyOwnRoot(
  parts: Parts,
  { key: label, ...fields }: Out<(typeof certifySelf)["question"]>,
  envelope: Envelope,
): Promise<{ readonly certificate: Uint8Array; readonly hash: string; readonly isNew: boolean }> {
  const { keyring, ledger } = parts;
  const key = keyring.keys.find((one) => one.label === label);
  if (!key) throw refused(`the keyring has no key "${label}"`);
  const tbs = ownRootTbs(key, fields);
  requireOwnRoot(key, tbs, keyring.keys);
  const tbsSha256 = hash("sha256", tbs, "hex");
  const [known] = key.chain ?? [];
  if (known) {
    if (equalBytes(parseCertificate(known).tbs, tbs)) {
      return { certificate: known, hash: tbsSha256, isNew: false };
    }
    throw refused(`"${label}" has its certificate already; a key is certified once`);
  }
  // Before it is announced.
  parts.vault.signerFor(label);
  const { from: asker, trace } = envelope;
  const row = { asker, operation: "certifySelf", key: label, trace, hash: tbsSha256 } as const;
  await ledger.transaction(() => ledger.operate({ ...row, phase: "announced" }));
  const certificate = await sign(parts, { key, tbs }, envelope);
  return { certificate, hash: tbsSha256, isNew: true };
}

/** Signs and verifies, on record. @throws {Failure} key-unavailable */
async function sign(
  { ledger, vault }: Parts,
  { key, tbs }: { readonly key: VaultKey; readonly tbs: Uint8Array },
  { from: asker, trace }: Envelope,
): Promise<Uint8Array> {
  const signer = vault.signerFor(key.label);
  const messages = [tbs];
  const prepared = { messages, claim: { kind: "none" }, binding: { kind: "none" } } as const;
  const job = newJob({ key, purpose: "ownRoot", asker, trace, prepared });
  await ledger.transaction(() => {
    job.sequence = ledger.intend(intentOf(job));
  });
  const outcome = await signer.perform(job, "async");
  await ledger.flush();
  if (outcome instanceof Failure) throw outcome;
  const [signature = new Uint8Array()] = outcome.signatures;
  const certificate = formatCertificate(tbs, signatureAlgorithmOf(key), signature);
  if (!isSignedBy(parseCertificate(certificate), importPublicKey(key.publicKey))) {
    throw new Failure(
      "key-unavailable",
      `the certificate that "${key.label}" signed does not verify`,
    );
  }
  return certificate;
}

function refused(message: string): Failure {
  return new Failure("operation-refused", message);
}
