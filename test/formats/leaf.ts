/** A good leaf and what it must keep to, for the tests of the profile. */
import { fulcioExtensions } from "../../core/formats/fulcio-oids.ts";
import type { LeafFields, LeafProfile } from "../../core/formats/leaf-profile.ts";
import { digitallySigned, formatSctList } from "../../core/formats/sct.ts";
import { softAuthority, softKey } from "../crypto/soft-authority.ts";

/** When these leaves are made. */
export const now = new Date("2026-11-21T12:00:00Z");
/** Who signs them. */
export const authority = softAuthority(now);
/** The leaf's key. */
export const key = softKey();
/** Whom they name. */
export const principal = {
  oidcIssuer: "https://idp.example",
  subject: "subject & <1>",
  san: { kind: "email" as const, value: "user@example.com" },
  extensions: [
    { arc: 9, value: "https://ci.example/x?a=1&b=<2>" },
    { arc: 2, value: "push" },
  ],
};
/** A good leaf. */
export const fields: LeafFields = {
  serial: new Uint8Array(20).fill(0x41),
  issuerName: authority.issuing.name,
  authorityKeyId: authority.issuing.keyId,
  signatureAlgorithm: "ecdsa-sha256",
  notBefore: now,
  notAfter: new Date(now.getTime() + 600_000),
  publicKey: key.spki,
  san: principal.san,
  fulcio: fulcioExtensions(principal),
};
/** What it must keep to. */
export const profile: LeafProfile = {
  issuerName: authority.issuing.name,
  authorityKeyId: authority.issuing.keyId,
  signatureAlgorithm: "ecdsa-sha256",
  maxLifetimeSeconds: 600,
  notBeforeFrom: now,
  notBeforeTo: now,
};
/** An SCT list; its signature is none. */
export const list = formatSctList([
  {
    logId: new Uint8Array(32).fill(1),
    timestampMs: 1n,
    extensions: new Uint8Array(),
    signature: digitallySigned(Uint8Array.of(1, 2, 3)),
  },
]);
