/** The end of a leaf's extensions: a precertificate's poison, a certificate's SCT list (RFC 6962 §3.1, §3.3), and how one becomes the other. */
import * as der from "./der.ts";
import { DerCursor } from "./der-cursor.ts";
import { DerWriter } from "./der-writer.ts";
import { concat, equalBytes } from "./encoding.ts";
import { Malformed } from "./malformed.ts";
import { extensionOids, extensionsTag } from "./x509-tbs.ts";

/** The TBSCertificate without its poison, all else as it was. @throws {Malformed} unless there is exactly one. */
export function withoutPoison(tbs: Uint8Array): Uint8Array {
  return without(tbs, poisonId);
}

/** The TBSCertificate without its SCT list, all else as it was. @throws {Malformed} unless there is exactly one. */
export function withoutSctList(tbs: Uint8Array): Uint8Array {
  return without(tbs, sctListId);
}

/** The TBSCertificate with an SCT list (TLS form) as its last extension. @throws {Malformed} if it has one, or a poison. */
export function withSctList(tbs: Uint8Array, list: Uint8Array): Uint8Array {
  const { head, listed, ends } = takeApart(tbs);
  if (ends.length > 0) {
    throw new Malformed("tbsCertificate: has an SCT list or a poison already");
  }
  return putTogether({ head, list, kept: listed });
}

/** A precertificate's TBSCertificate, read once, as what becomes of it. */
export interface Unpoisoned {
  /** Without its poison, all else as it was. */
  readonly bare: Uint8Array;
  /** With an SCT list (TLS form) in the place of the poison. */
  readonly listing: (list: Uint8Array) => Uint8Array;
}

/** Takes the poison off a precertificate that ends with it. @throws {Malformed} if it does not, or has another or an SCT list. */
export function unpoison(tbs: Uint8Array): Unpoisoned {
  const parts = takeApart(tbs);
  const { head, ends } = parts;
  const kept = beforeEnd(parts, poisonId);
  if (kept === null || ends.length !== 1) {
    throw new Malformed("tbsCertificate: expected a poison at the end, and no SCT list");
  }
  return {
    bare: putTogether({ head, kept }),
    listing: (list) => putTogether({ head, kept, list }),
  };
}

/** True if the certificate is its precertificate with the poison, and only that, turned into an SCT list at the end. */
export function correspond(precertificateTbs: Uint8Array, certificateTbs: Uint8Array): boolean {
  const precertificate = takeApart(precertificateTbs);
  const certificate = takeApart(certificateTbs);
  const poisoned = beforeEnd(precertificate, poisonId);
  const logged = beforeEnd(certificate, sctListId);
  return (
    poisoned !== null &&
    logged !== null &&
    equalBytes(precertificate.head, certificate.head) &&
    equalBytes(poisoned, logged)
  );
}

const poisonId = der.oid(extensionOids.poison);
const sctListId = der.oid(extensionOids.sctList);

/** A TBSCertificate's bytes, cut where its extensions begin. */
interface TbsParts {
  /** Everything before the extensions. */
  readonly head: Uint8Array;
  /** The extensions one after the other. */
  readonly listed: Uint8Array;
  /** Those of them that may be at the end, and where they are in them. */
  readonly ends: readonly End[];
}

interface End {
  /** {@link poisonId} or {@link sctListId}. */
  readonly id: Uint8Array;
  readonly from: number;
  readonly to: number;
}

function takeApart(tbs: Uint8Array): TbsParts {
  const at = new DerCursor(tbs);
  at.take("tbsCertificate");
  at.enter("tbsCertificate");
  const { from: headFrom } = at;
  while (!at.isDone) at.take("field");
  // Of the last field, which is nothing but the extensions.
  const headTo = at.start;
  if (at.tag !== extensionsTag) throw new Malformed("tbsCertificate: no extensions");
  const outer = at.enter("extensions", extensionsTag);
  at.take("list", der.tags.sequence);
  const listed = at.content();
  const { from: start } = at;
  const inner = at.enter("extensions");
  const ends: End[] = [];
  while (!at.isDone) {
    at.take("extension", der.tags.sequence);
    if (tbs[at.from] !== der.tags.oid) throw new Malformed("extension: no identifier");
    const isPoison = at.beginsWith(poisonId);
    if (!isPoison && !at.beginsWith(sctListId)) continue;
    const id = isPoison ? poisonId : sctListId;
    ends.push({ id, from: at.start - start, to: at.to - start });
  }
  at.leave(inner, "extensions");
  at.leave(outer, "tbsCertificate");
  return { head: tbs.subarray(headFrom, headTo), listed, ends };
}

/** The extensions before the last one, which must be called so; null if it is not. */
function beforeEnd({ listed, ends }: TbsParts, id: Uint8Array): Uint8Array | null {
  const last = ends.at(-1);
  if (last?.id !== id || last.to !== listed.length) return null;
  return listed.subarray(0, last.from);
}

/** What TBSCertificates are written in, one after the other. It is no state that anybody could see. */
const writer = new DerWriter();

/** A TBSCertificate of everything before its extensions, those that it keeps, and an SCT list if there is one. */
function putTogether({
  head,
  kept,
  list,
}: {
  readonly head: Uint8Array;
  readonly kept: Uint8Array;
  readonly list?: Uint8Array;
}): Uint8Array {
  writer.clear();
  if (list !== undefined) {
    writer.octetString(list);
    writer.header(der.tags.octetString, 0);
    writer.put(sctListId);
    writer.header(der.tags.sequence, 0);
  }
  writer.put(kept);
  writer.header(der.tags.sequence, 0);
  writer.header(extensionsTag, 0);
  writer.put(head);
  writer.header(der.tags.sequence, 0);
  return writer.take();
}

/** The TBSCertificate without the one extension that begins with `id`. */
function without(tbs: Uint8Array, id: Uint8Array): Uint8Array {
  const { head, listed, ends } = takeApart(tbs);
  const found = ends.filter((end) => end.id === id);
  const [unwanted, ...more] = found;
  if (unwanted === undefined || more.length > 0) {
    const name = id === poisonId ? extensionOids.poison : extensionOids.sctList;
    throw new Malformed(`tbsCertificate: expected exactly one extension ${name}`);
  }
  const after = listed.subarray(unwanted.to);
  const before = listed.subarray(0, unwanted.from);
  const kept = after.length === 0 ? before : concat(before, after);
  return putTogether({ head, kept });
}
