/** Fulcio's certificate extensions, arc 1.3.6.1.4.1.57264.1 (fulcio docs/oid-info.md, v1.8.6): what each is called and how it is encoded. */
import * as der from "./der.ts";
import { decodeUtf8, encodeUtf8 } from "./encoding.ts";
import { Malformed } from "./malformed.ts";
import type { Extension } from "./x509.ts";

/** The arc under which Fulcio's extensions live. */
export const fulcioArc = "1.3.6.1.4.1.57264.1";

/** Arc numbers by name. 7 is not an extension but the type of an otherName. */
export const fulcioArcs = {
  issuer: 1,
  githubWorkflowTrigger: 2,
  githubWorkflowSha: 3,
  githubWorkflowName: 4,
  githubWorkflowRepository: 5,
  githubWorkflowRef: 6,
  issuerV2: 8,
  buildSignerUri: 9,
  buildSignerDigest: 10,
  runnerEnvironment: 11,
  sourceRepositoryUri: 12,
  sourceRepositoryDigest: 13,
  sourceRepositoryRef: 14,
  sourceRepositoryIdentifier: 15,
  sourceRepositoryOwnerUri: 16,
  sourceRepositoryOwnerIdentifier: 17,
  buildConfigUri: 18,
  buildConfigDigest: 19,
  buildTrigger: 20,
  runInvocationUri: 21,
  sourceRepositoryVisibility: 22,
  deploymentEnvironment: 23,
  tokenSubject: 24,
} as const;

/** What the extensions are made from. */
export interface FulcioClaims {
  readonly oidcIssuer: string;
  readonly subject: string;
  /** Arcs 2 to 6 and 9 to 23. */
  readonly extensions: readonly { readonly arc: number; readonly value: string }[];
}

const lastArc = 24;
/** Arcs up to here hold bare UTF-8, later ones a DER UTF8String. */
const lastRawArc = 6;
const otherNameArc = 7;

/**
 * The extensions in the order in which Fulcio renders them: 1, 2 to 6, 8, 9 to 24. None is critical.
 *
 * @throws {Malformed} on an empty value, an arc given twice, or one that is not free to give.
 */
export function fulcioExtensions(claims: FulcioClaims): readonly Extension[] {
  // By arc number, which is the order they come in.
  const values: (string | undefined)[] = [];
  values[fulcioArcs.issuer] = claims.oidcIssuer;
  values[fulcioArcs.issuerV2] = claims.oidcIssuer;
  values[fulcioArcs.tokenSubject] = claims.subject;
  for (const { arc, value } of claims.extensions) {
    if (values[arc] !== undefined) throw new Malformed(`fulcio extension ${arc}: given twice`);
    if (!isArc(arc)) throw new Malformed(`fulcio extension ${arc}: unknown`);
    values[arc] = value;
  }
  const extensions: Extension[] = [];
  for (let arc = 1; arc <= lastArc; arc++) {
    const value = values[arc];
    if (value !== undefined) extensions.push(render(arc, value));
  }
  return extensions;
}

/** The values of all extensions in Fulcio's arc, by arc number. @throws {Malformed} if one is not encoded as its arc demands. */
export function readFulcioExtensions(certificate: {
  readonly extensions: readonly Extension[];
}): Readonly<{ [arc: number]: string }> {
  const values: { [arc: number]: string } = {};
  for (const extension of certificate.extensions) {
    const read = readFulcioExtension(extension);
    if (read !== null) values[read.arc] = read.value;
  }
  return values;
}

/** The value of one extension; null if it is none of Fulcio's. @throws {Malformed} if it is not encoded as its arc demands. */
export function readFulcioExtension({
  oid,
  value,
}: Extension): { readonly arc: number; readonly value: string } | null {
  if (!oid.startsWith(arcPrefix)) return null;
  const arc = Number(oid.slice(arcPrefix.length));
  if (!isArc(arc)) return null;
  return {
    arc,
    value: arc <= lastRawArc ? decodeUtf8(value) : der.readUtf8(der.readDer(value)),
  };
}

const arcPrefix = `${fulcioArc}.`;

/** True for the arc numbers of extensions known here. */
function isArc(arc: number): boolean {
  return Number.isInteger(arc) && arc >= 1 && arc <= lastArc && arc !== otherNameArc;
}

function render(arc: number, value: string): Extension {
  if (value === "") throw new Malformed(`fulcio extension ${arc}: empty`);
  const encoded = arc <= lastRawArc ? encodeUtf8(value) : der.utf8String(value);
  return { oid: `${fulcioArc}.${arc}`, critical: false, value: encoded };
}
