/** What a ceremony's certificates say of themselves: the extensions of each kind, in the order in which they are written (RFC 5280 §4.2). */
import * as der from "../../core/formats/der.ts";
import {
  type Extension,
  extensionOids,
  keyIdentifier,
  keyPurposes,
} from "../../core/formats/x509.ts";
import type { AuthorityKind } from "./lint.ts";

/** Extensions of a certificate. `pathLength` is an intermediate's: how many CAs may be below it. */
export function authorityExtensions(
  kind: AuthorityKind,
  keys: { readonly subject: Uint8Array; readonly issuer: Uint8Array },
  pathLength?: number,
): readonly Extension[] {
  return [
    ...roleExtensions(kind, pathLength),
    {
      oid: extensionOids.subjectKeyIdentifier,
      critical: false,
      value: der.octetString(keyIdentifier(keys.subject)),
    },
    {
      oid: extensionOids.authorityKeyIdentifier,
      critical: false,
      value: der.sequence(der.implicit(0, keyIdentifier(keys.issuer))),
    },
  ];
}

function roleExtensions(kind: AuthorityKind, pathLength?: number): readonly Extension[] {
  const authority = (purpose: string, below: number): readonly Extension[] => [
    certifies,
    extendedKeyUsage(purpose, false),
    constraints(der.boolean(true), der.integer(BigInt(below))),
  ];
  switch (kind) {
    case "root":
      return [certifies, constraints(der.boolean(true))];
    case "intermediate":
      return authority(keyPurposes.codeSigning, pathLength ?? 1);
    case "issuing":
    case "single":
      return authority(keyPurposes.codeSigning, 0);
    case "timestampIntermediate":
      return authority(keyPurposes.timeStamping, pathLength ?? 0);
    case "timestamp":
      return [
        keyUsage(der.bitString(Uint8Array.of(0x80), 7)),
        extendedKeyUsage(keyPurposes.timeStamping, true),
        // DEFAULT FALSE is not written.
        constraints(),
      ];
  }
}

function keyUsage(value: Uint8Array): Extension {
  return { oid: extensionOids.keyUsage, critical: true, value };
}

/** keyCertSign is bit 5, cRLSign bit 6; digitalSignature is bit 0. */
const certifies = keyUsage(der.bitString(Uint8Array.of(0x06), 1));

function extendedKeyUsage(purpose: string, critical: boolean): Extension {
  return {
    oid: extensionOids.extendedKeyUsage,
    critical,
    value: der.sequence(der.oid(purpose)),
  };
}

function constraints(...content: Uint8Array[]): Extension {
  return { oid: extensionOids.basicConstraints, critical: true, value: der.sequence(...content) };
}
