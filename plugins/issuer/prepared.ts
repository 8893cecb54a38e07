/**
 * From a proven principal to what may be signed, as a chain of types: only a linted leaf becomes a precertificate, only a precertificate
 * that the log has answered for and the vault has completed a certificate, and each step is taken exactly once.
 */
import type { PublicKey } from "../../core/crypto/keys.ts";
import { sha256 } from "../../core/crypto/hash.ts";
import { everyOne, type SpotCheck } from "../../core/crypto/spot-check.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import { equalBytes } from "../../core/formats/encoding.ts";
import { fulcioExtensions } from "../../core/formats/fulcio-oids.ts";
import {
  checkLeafTbs,
  correspond,
  formatLeafTbs,
  maxLeafBytes,
  type Unpoisoned,
  unpoison,
} from "../../core/formats/leaf-profile.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  formatSctList,
  parseDigitallySigned,
  type Sct,
  sctSignatureInput,
} from "../../core/formats/sct.ts";
import { formatCertificate } from "../../core/formats/x509.ts";
import { Failure } from "../../events/failure.ts";
import type { Principal } from "../../events/identity.ts";
import type { Authority } from "./authority.ts";

/** Something to be signed. `redeem` gives it once and throws ever after: two certificates of one precertificate cannot be. */
export interface Prepared {
  redeem(): Uint8Array;
}

/** A linted precertificate that waits for its signature. */
export interface PreparedPrecertificate extends Prepared {
  /** The signed precertificate, DER, ready for the log. */
  signed(signature: Uint8Array): Precertificate;
}

/** What the vault makes of a precertificate. */
export interface Completed {
  readonly signature: Uint8Array;
  /** The list of SCTs that it has put into the certificate (TLS form). */
  readonly scts: Uint8Array;
}

/** A signed precertificate. `redeem` gives the hash by which its certificate is asked for. */
export interface Precertificate extends Prepared {
  /** DER, ready for the log. */
  readonly der: Uint8Array;
  /**
   * The certificate, DER, now that the log has promised to keep it; only once.
   *
   * @throws {Failure} log-unavailable if the log's SCT is not good, or not the one that is in the certificate; key-unavailable if the
   * signature is not the issuing key's.
   */
  completed(by: Completed, sct: Sct, now: Date): Uint8Array;
}

/** A certificate whose SCT comes beside it, waiting for its signature. */
export interface PreparedBareLeaf extends Prepared {
  /** @throws {Failure} key-unavailable if the signature is not the issuing key's. */
  signed(signature: Uint8Array): BareLeaf;
}

/** A signed certificate that nobody has been given yet. */
export interface BareLeaf {
  readonly der: Uint8Array;
  /** The certificate, now that the log has promised to keep it. @throws {Failure} log-unavailable if the SCT is not good. */
  logged(sct: Sct, now: Date): Uint8Array;
}

/** What a leaf is made of, besides the authority. */
export interface LeafRequest {
  readonly principal: Principal;
  readonly key: PublicKey;
  readonly serial: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Which of what the vault holds against the same rules, each time and before it signs or gives a signature, is looked at here too. */
export interface SecondLooks {
  /** Leaves against the profile, before their intent is written. */
  readonly profile: SpotCheck;
  /** Certificates against their precertificates. */
  readonly correspondence: SpotCheck;
  /** Signatures. */
  readonly sct: SpotCheck;
  readonly certificate: SpotCheck;
}

const atAll: SecondLooks = {
  profile: everyOne,
  correspondence: everyOne,
  sct: everyOne,
  certificate: everyOne,
};

/** How far the log's clock may be ahead of or behind ours. */
const clockSkewMs = 10_000n;
/** What a signature and the SCT list may add to a precertificate. */
const signatureRoom = 512;

/** @throws {Failure} identity-rejected if the principal cannot be written into a certificate; lint-refused if the result breaks the profile. */
export function prepareLeaf(
  request: LeafRequest,
  authority: Authority,
  looks = atAll,
): PreparedPrecertificate {
  const tbs = formatLeaf(request, authority, "poison");
  lint(tbs, request, { authority, looks });
  return {
    ...once(tbs),
    signed(signature) {
      const unpoisoned = unpoison(tbs);
      const take = once(tbs);
      return {
        ...once(sha256(unpoisoned.bare)),
        der: formatCertificate(tbs, authority.signatureAlgorithm, signature),
        completed(by, sct, now) {
          const precertificate = { tbs: take.redeem(), ...unpoisoned };
          return formatCompleted(precertificate, { by, sct, now, looks }, authority);
        },
      };
    },
  };
}

/** A certificate that embeds no SCT, waiting for its signature. @throws {Failure} as {@link prepareLeaf} */
export function prepareBareLeaf(
  request: LeafRequest,
  authority: Authority,
  looks = atAll,
): PreparedBareLeaf {
  const tbs = formatLeaf(request, authority, "none");
  lint(tbs, request, { authority, looks });
  return {
    ...once(tbs),
    signed(signature) {
      const certificate = formatSigned(tbs, signature, { authority, looks });
      return {
        der: certificate,
        logged(sct, now) {
          checkSct(sct, { entry: { kind: "certificate", certificate }, now, looks }, authority);
          return certificate;
        },
      };
    },
  };
}

function formatLeaf(
  request: LeafRequest,
  authority: Authority,
  end: "poison" | "none",
): Uint8Array {
  const { principal, key, serial, notBefore, notAfter } = request;
  try {
    const tbs = formatLeafTbs(
      {
        serial,
        issuerName: authority.name,
        authorityKeyId: authority.keyId,
        signatureAlgorithm: authority.signatureAlgorithm,
        notBefore,
        notAfter,
        publicKey: key.spki,
        san: principal.san,
        fulcio: fulcioExtensions(principal),
      },
      { kind: end },
    );
    if (tbs.length + signatureRoom > maxLeafBytes) {
      throw new Malformed(`the identity needs a certificate above ${maxLeafBytes} bytes`);
    }
    return tbs;
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    // Everything but the principal is ours and of known form.
    throw new Failure("identity-rejected", cause.message, { cause });
  }
}

/** The term is held against the CA's own each time, because the vault does not look at that. */
function lint(
  tbs: Uint8Array,
  { notBefore, notAfter }: LeafRequest,
  { authority, looks }: { readonly authority: Authority; readonly looks: SecondLooks },
): void {
  if (notBefore < authority.notBefore || notAfter > authority.notAfter) {
    throw new Failure("lint-refused", "the certificate would outlive the issuing CA's");
  }
  if (!looks.profile()) return;
  try {
    checkLeafTbs(tbs, {
      issuerName: authority.name,
      authorityKeyId: authority.keyId,
      signatureAlgorithm: authority.signatureAlgorithm,
      bare: true,
      maxLifetimeSeconds: (notAfter.getTime() - notBefore.getTime()) / 1_000,
      notBeforeFrom: notBefore,
      notBeforeTo: notBefore,
    });
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new Failure("lint-refused", cause.message, { cause });
  }
}

function formatCompleted(
  precertificate: Unpoisoned & { readonly tbs: Uint8Array },
  {
    by,
    sct,
    now,
    looks,
  }: {
    readonly by: Completed;
    readonly sct: Sct;
    readonly now: Date;
    readonly looks: SecondLooks;
  },
  authority: Authority,
): Uint8Array {
  const { tbs: poisoned, bare, listing } = precertificate;
  const entry = { kind: "precertificate", issuerKeyHash: authority.keyHash, tbs: bare } as const;
  checkSct(sct, { entry, now, looks }, authority);
  const list = formatSctList([sct]);
  if (!equalBytes(list, by.scts)) {
    throw new Failure("log-unavailable", "the certificate has another SCT than the log answered");
  }
  const tbs = listing(list);
  if (looks.correspondence() && !correspond(poisoned, tbs)) {
    throw new Failure("lint-refused", "the certificate does not correspond to its precertificate");
  }
  return formatSigned(tbs, by.signature, { authority, looks });
}

function formatSigned(
  tbs: Uint8Array,
  signature: Uint8Array,
  { authority, looks }: { readonly authority: Authority; readonly looks: SecondLooks },
): Uint8Array {
  if (looks.certificate() && !verifySignature(authority.key, tbs, signature)) {
    throw new Failure("key-unavailable", "the vault's signature does not verify");
  }
  return formatCertificate(tbs, authority.signatureAlgorithm, signature);
}

/** What an SCT is over, without its time. */
type Logged =
  | { readonly kind: "certificate"; readonly certificate: Uint8Array }
  | {
      readonly kind: "precertificate";
      readonly issuerKeyHash: Uint8Array;
      readonly tbs: Uint8Array;
    };

function checkSct(
  sct: Sct,
  {
    entry,
    now,
    looks,
  }: { readonly entry: Logged; readonly now: Date; readonly looks: SecondLooks },
  authority: Authority,
): void {
  const refused = (message: string, cause?: unknown): Failure =>
    new Failure("log-unavailable", `the log's SCT is not good: ${message}`, { cause });
  const log = authority.logs.find(({ id }) => equalBytes(id, sct.logId));
  if (log === undefined) throw refused("it is another log's");
  if (sct.extensions.length > 0) throw refused("it has extensions");
  const behindMs = BigInt(now.getTime()) - sct.timestampMs;
  if (behindMs < -clockSkewMs) throw refused("it is from the future");
  if (behindMs > clockSkewMs + maxLogWaitMs) throw refused("it is from before the request");
  try {
    const { hash, algorithm, signature } = parseDigitallySigned(sct.signature);
    if (hash === "sha256" && algorithm === "ecdsa") {
      if (!looks.sct()) return;
      const input = sctSignatureInput({ ...entry, timestampMs: sct.timestampMs });
      if (verifySignature(log.key, input, signature, hash)) return;
      throw refused("its signature does not verify");
    }
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw refused("it cannot be parsed", cause);
  }
  throw refused("it is not signed with ECDSA and SHA-256");
}

/** The longest that an answer of the log is waited for. */
const maxLogWaitMs = 20_000n;

function once(tbs: Uint8Array): Prepared {
  let left: Uint8Array | null = tbs;
  return {
    redeem() {
      if (left === null) throw new Error("a prepared certificate was redeemed twice");
      const redeemed = left;
      left = null;
      return redeemed;
    },
  };
}
