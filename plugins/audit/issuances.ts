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
  const { sanKind, extensions, provenance, requestId } = fact;
  const said =
    sanKind === undefined || extensions === undefined
      ? readCertificate(fact.certificate)
      : { sanKind, values: byArc(extensions) };
  return {
    at: timeOf(fact.issuedAtMs),
    ctTimestampMs: String(fact.ctTimestampMs),
    extensions: namedExtensions(said.values),
    fingerprint: hash("sha256", fact.certificate, "hex"),
    kind: "issued",
    oidcIssuer: fact.oidcIssuer,
    ...(provenance !== undefined && { provenance: provenanceOf(provenance) }),
    publicKeySha256: encodeHex(fact.publicKeyHash),
    ...(requestId !== undefined && { requestId }),
    san: fact.san,
    sanKind: said.sanKind,
    serial: encodeHex(fact.serial),
    source,
    subject: fact.subject,
    tokenSha256: encodeHex(fact.tokenDigest),
  };
}

/** What facts of older releases leave to the certificate. */
function readCertificate(der: Uint8Array) {
  const certificate = parseCertificate(der);
  const names = findExtension(certificate, extensionOids.subjectAltName);
  const [name] = names === undefined ? [] : readSubjectAltNames(names);
  return { sanKind: name?.kind ?? "uri", values: readFulcioExtensions(certificate) } as const;
}

/** Values of extensions under the numbers of their arcs. */
type ByArc = Readonly<{ [arc: number]: string | undefined }>;

function byArc(extensions: readonly { readonly arc: number; readonly value: string }[]): ByArc {
  const values: (string | undefined)[] = [];
  for (const { arc, value } of extensions) values[arc] = value;
  return values;
}

/** A request of somebody known that was refused, or given up. */
export function recordRefused(
  fact: Out<(typeof certificateRefused)["body"]>,
  source: Source,
): BodyOf<"refused"> {
  const { code, extensions, oidcIssuer, provenance, reason } = fact;
  const { requestId, san, sanKind, serial, subject } = fact;
  return {
    at: timeOf(fact.refusedAtMs),
    code,
    ...(extensions !== undefined && { extensions: namedExtensions(byArc(extensions)) }),
    kind: "refused",
    ...(oidcIssuer !== undefined && { oidcIssuer }),
    ...(provenance !== undefined && { provenance: provenanceOf(provenance) }),
    reason,
    ...(requestId !== undefined && { requestId }),
    ...(san !== undefined && { san }),
    ...(sanKind !== undefined && { sanKind }),
    ...(serial !== undefined && { serial: encodeHex(serial) }),
    source,
    ...(subject !== undefined && { subject }),
    tokenSha256: encodeHex(fact.tokenDigest),
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

function provenanceOf({
  assurance,
  decision,
  facets,
  mappingSha256,
  provider,
  providerVersion,
}: Provenance) {
  return {
    assurance,
    ...(decision !== undefined && {
      decision: {
        policySha256: encodeHex(decision.policySha256),
        policyVersion: decision.policyVersion,
        rule: decision.rule,
      },
    }),
    facets,
    mappingSha256: encodeHex(mappingSha256),
    provider,
    providerVersion,
  };
}

/** Those that a record has anyway. */
const saidElsewhere: readonly string[] = ["issuer", "issuerV2", "tokenSubject"];

/** The others, in the order in which a record has them. */
const namedArcs = Object.entries(fulcioArcs)
  .filter(([name]) => !saidElsewhere.includes(name))
  .toSorted(([one], [other]) => (one < other ? -1 : 1));

/** Besides issuer and subject, which the record has anyway. */
function namedExtensions(values: ByArc): { [name: string]: string } {
  const named: { [name: string]: string } = {};
  for (const [name, arc] of namedArcs) {
    const value = values[arc];
    if (value !== undefined) named[name] = value;
  }
  return named;
}

function timeOf(ms: bigint): string {
  return new Date(Number(ms)).toISOString();
}
