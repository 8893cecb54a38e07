/** The issuer's and the sign-in's facts as records. */
import { hash } from "node:crypto";
import { encodeHex } from "../../core/formats/encoding.ts";
import { fulcioArcs, readFulcioExtensions } from "../../core/formats/fulcio-oids.ts";
import {
  extensionOids,
  findExtension,
  parseCertificate,
  readSubjectAltNames,
} from "../../core/formats/x509.ts";
import type { Out } from "../../events/contract.ts";
import type { idTokenIssued, signInsRefused } from "../../events/idp.ts";
import type { Provenance } from "../../events/identity.ts";
import type {
  certificateIssued,
  certificateRefused,
  refusalsCounted,
} from "../../events/issuer.ts";
import type { BodyOf } from "./record.ts";

type Source = BodyOf<"issued">["source"];

/** A certificate that was issued. */
export function recordIssued(
  fact: Out<(typeof certificateIssued)["body"]>,
  source: Source,
): BodyOf<"issued"> {
  const { sanKind, extensions } = fact;
  const said =
    sanKind === undefined || extensions === undefined
      ? readCertificate(fact.certificate)
      : { sanKind, extensions: byArc(extensions) };
  return {
    kind: "issued",
    source,
    at: timeOf(fact.issuedAtMs),
    ...requestOf(fact),
    serial: encodeHex(fact.serial),
    fingerprint: hash("sha256", fact.certificate, "hex"),
    publicKeySha256: encodeHex(fact.publicKeyHash),
    tokenSha256: encodeHex(fact.tokenDigest),
    ctTimestampMs: String(fact.ctTimestampMs),
    oidcIssuer: fact.oidcIssuer,
    subject: fact.subject,
    san: fact.san,
    sanKind: said.sanKind,
    extensions: namedExtensions(said.extensions),
  };
}

/** What facts of older releases leave to the certificate. */
function readCertificate(der: Uint8Array) {
  const certificate = parseCertificate(der);
  const names = findExtension(certificate, extensionOids.subjectAltName);
  const [name] = names === undefined ? [] : readSubjectAltNames(names);
  return { sanKind: name?.kind ?? "uri", extensions: readFulcioExtensions(certificate) } as const;
}

function byArc(extensions: readonly { readonly arc: number; readonly value: string }[]) {
  return Object.fromEntries(extensions.map(({ arc, value }) => [arc, value]));
}

/** A request of somebody known that was refused, or given up. */
export function recordRefused(
  fact: Out<(typeof certificateRefused)["body"]>,
  source: Source,
): BodyOf<"refused"> {
  const { code, reason, serial, oidcIssuer, subject, san, sanKind, extensions } = fact;
  return {
    kind: "refused",
    source,
    at: timeOf(fact.refusedAtMs),
    ...requestOf(fact),
    code,
    reason,
    tokenSha256: encodeHex(fact.tokenDigest),
    ...(serial !== undefined && { serial: encodeHex(serial) }),
    ...(oidcIssuer !== undefined && { oidcIssuer }),
    ...(subject !== undefined && { subject }),
    ...(san !== undefined && { san }),
    ...(sanKind !== undefined && { sanKind }),
    ...(extensions !== undefined && {
      extensions: namedExtensions(byArc(extensions)),
    }),
  };
}

/** Requests of nobody known that were refused. */
export function recordCounted(
  { refusals }: Out<(typeof refusalsCounted)["body"]>,
  source: Source,
): BodyOf<"counted"> {
  return {
    kind: "counted",
    source,
    refusals: refusals.map(({ secondMs, oidcIssuer, ...one }) => ({
      ...one,
      ...(oidcIssuer !== undefined && { oidcIssuer }),
      at: timeOf(secondMs),
    })),
  };
}

/** Somebody signed in. */
export function recordSignIn(
  fact: Out<(typeof idTokenIssued)["body"]>,
  source: Source,
): BodyOf<"signed-in"> {
  const { tokenDigest, issuedAtMs, oidcIssuer, subject, email, audience, by, upstream } = fact;
  return {
    kind: "signed-in",
    source,
    at: timeOf(issuedAtMs),
    tokenSha256: encodeHex(tokenDigest),
    oidcIssuer,
    subject,
    ...(email !== undefined && { san: email }),
    audience,
    by,
    ...(upstream !== undefined && { upstream }),
  };
}

/** Sign-ins that came to nothing. */
export function recordSignInsRefused(
  { refusals }: Out<(typeof signInsRefused)["body"]>,
  source: Source,
): BodyOf<"sign-ins-refused"> {
  return {
    kind: "sign-ins-refused",
    source,
    refusals: refusals.map(({ secondMs, account, ...one }) => ({
      ...one,
      ...(account !== undefined && { account }),
      at: timeOf(secondMs),
    })),
  };
}

function requestOf({
  requestId,
  provenance,
}: {
  readonly requestId?: string | undefined;
  readonly provenance?: Provenance | undefined;
}) {
  return {
    ...(requestId !== undefined && { requestId }),
    ...(provenance !== undefined && { provenance: provenanceOf(provenance) }),
  };
}

function provenanceOf({ mappingSha256, decision, ...rest }: Provenance) {
  return {
    ...rest,
    mappingSha256: encodeHex(mappingSha256),
    ...(decision !== undefined && {
      decision: { ...decision, policySha256: encodeHex(decision.policySha256) },
    }),
  };
}

/** Besides issuer and subject, which the record has anyway. */
function namedExtensions(values: Readonly<{ [arc: number]: string }>): { [name: string]: string } {
  const known: readonly string[] = ["issuer", "issuerV2", "tokenSubject"];
  return Object.fromEntries(
    Object.entries(fulcioArcs).flatMap(([name, arc]) => {
      const value = values[arc];
      return value === undefined || known.includes(name) ? [] : [[name, value]];
    }),
  );
}

function timeOf(ms: bigint): string {
  return new Date(Number(ms)).toISOString();
}
