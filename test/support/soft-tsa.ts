/** A timestamp authority whose keys are in memory, and whose tokens can be made wrong in one place. */
import * as der from "../../core/formats/der.ts";
import { digest } from "../../core/crypto/hash.ts";
import {
  extensionOids,
  type Extension,
  formatName,
  keyPurposes,
  parseCertificate,
} from "../../core/formats/x509.ts";
import { formatTimestampResponse } from "../../core/formats/tsp.ts";
import { TokenWriter } from "../../core/formats/tsp-writer.ts";
import {
  certificate,
  softAuthority,
  softKey,
  type SoftKeyPair,
  softSign,
} from "../crypto/soft-authority.ts";

const dayMs = 86_400_000;
const name = formatName({ commonName: "soft timestamps", organization: "test" });

/** What may differ from a good authority and a good token. */
export interface TsaChanges {
  readonly own?: readonly Extension[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Key purpose of the CA above. */
  readonly caPurpose?: string;
  /** The key the certificate is for; another one signs. */
  readonly publicKey?: Uint8Array;
}

/** An authority. */
export interface SoftTsa {
  /** Own certificate first, root last. */
  readonly chain: readonly Uint8Array[];
  readonly key: SoftKeyPair;
  /** A TimeStampResp over `data`. */
  readonly stamp: (data: Uint8Array, at: Date, change?: TokenChange) => Uint8Array;
}

/** What may be wrong in a token. */
export interface TokenChange {
  /** Who signs. */
  readonly key?: SoftKeyPair;
  /** The certificate whose hash, issuer and serial are signed for. */
  readonly boundTo?: Uint8Array;
  /** Changes the TSTInfo after it was signed for. */
  readonly tstInfo?: (bytes: Uint8Array) => Uint8Array;
  /** Certificates sent along with its own; without this not even that is. */
  readonly included?: readonly Uint8Array[];
}

/** Extensions of a good authority's own certificate. */
export const ownExtensions: readonly Extension[] = [
  { oid: extensionOids.keyUsage, critical: true, value: der.bitString(Uint8Array.of(0x80), 7) },
  purposes(true, keyPurposes.timeStamping),
];

/** An extended key usage. */
export function purposes(critical: boolean, ...oids: readonly string[]): Extension {
  const value = der.sequence(...oids.map(der.oid));
  return { oid: extensionOids.extendedKeyUsage, critical, value };
}

/** An authority in use around `now`; `publicKey` puts another key than its own into its certificate. */
export function softTsa(now: Date, changes: TsaChanges = {}): SoftTsa {
  const ca = softAuthority(now, {
    extensions: [
      { oid: extensionOids.keyUsage, critical: true, value: der.bitString(Uint8Array.of(0x06), 1) },
      {
        oid: extensionOids.basicConstraints,
        critical: true,
        value: der.sequence(der.boolean(true), der.integer(0n)),
      },
      purposes(false, changes.caPurpose ?? keyPurposes.timeStamping),
    ],
  });
  const key = softKey();
  const own = certificate(ca.issuing, "ecdsa-sha256", {
    issuer: ca.issuing.name,
    subject: name,
    notBefore: changes.notBefore ?? new Date(now.getTime() - dayMs),
    notAfter: changes.notAfter ?? new Date(now.getTime() + dayMs),
    publicKey: changes.publicKey ?? key.spki,
    extensions: changes.own ?? ownExtensions,
  });
  return {
    chain: [own, ...ca.chain],
    key,
    stamp: (data, at, change = {}) => response(data, { at, own, key, change }),
  };
}

function response(
  data: Uint8Array,
  { at, own, key, change }: { at: Date; own: Uint8Array; key: SoftKeyPair; change: TokenChange },
): Uint8Array {
  const authority = {
    policy: "1.3.6.1.4.1.57264.2",
    signatureAlgorithm: "ecdsa-sha256",
    accuracySeconds: 1,
  } as const;
  const certificate = parseCertificate(own);
  const tokens = new TokenWriter({ ...authority, certificate, above: change.included ?? [] });
  const bound = parseCertificate(change.boundTo ?? own);
  const tstInfo = tokens.tstInfo({
    hashAlgorithm: "sha256",
    messageImprint: digest("sha256", data),
    serial: Uint8Array.of(0x42),
    genTime: at,
  });
  const signedAttributes = new TokenWriter({ ...authority, certificate: bound }).signedAttributes(
    tstInfo,
    at,
  );
  const token = tokens.token({
    tstInfo: change.tstInfo?.(tstInfo) ?? tstInfo,
    signedAttributes,
    signature: softSign(change.key ?? key, signedAttributes),
    certificates: change.included === undefined ? "none" : "chain",
  });
  return formatTimestampResponse(token);
}
