/** Questions to the trail: who made this, and what did somebody do. What does not fit together is said, never left out. */
import type { Reader } from "../../core/storage.ts";
import { type AuditRecord, type BodyOf, genesisHash, parseRecord } from "./record.ts";
import {
  type Head,
  headKey,
  indexPrefix,
  parseHead,
  recordStream,
  sequenceIn,
  type Tag,
  tables,
} from "./rows.ts";

/** One certificate, or one bare key, and everything that hangs on it. */
export interface Dossier {
  /** The record of the issuance; null if there is none. */
  readonly issued: BodyOf<"issued"> | null;
  /** Null for bare keys. */
  readonly serial: string | null;
  readonly fingerprint: string | null;
  readonly publicKeySha256: string | null;
  /** In certificate transparency logs. */
  readonly certificateEntries: readonly BodyOf<"certificate-entry">[];
  readonly signatureEntries: readonly BodyOf<"signature-entry">[];
  /** Of the same serial number: an issuance that was given up. */
  readonly refused: readonly BodyOf<"refused">[];
  /** What is missing or does not fit, a sentence each. */
  readonly gaps: readonly string[];
}

/** Attempts of one kind within one second. */
export type SignInRefusal = BodyOf<"sign-ins-refused">["refusals"][number];

/** What somebody did. */
export interface Deeds {
  readonly certificates: readonly Dossier[];
  readonly refusals: readonly BodyOf<"refused">[];
  /** At the embedded sign-in. */
  readonly signIns: readonly BodyOf<"signed-in">[];
  /** Attempts there in this name that came to nothing, by whomever. */
  readonly signInRefusals: readonly SignInRefusal[];
}

/** From when, inclusive, until when, exclusive, and by which OIDC issuer's word. */
export interface Span {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly oidcIssuer?: string | undefined;
}

/** A trail that is read. */
export interface TrailReader {
  head(): Promise<Head>;
  /** Who is behind the entries of the artifact, envelope or payload with this digest, hex. */
  byDigest(digest: string): Promise<readonly Dossier[]>;
  /** The certificate with this serial number, hex. */
  bySerial(serial: string): Promise<readonly Dossier[]>;
  /** The certificate with this SHA-256, hex. */
  byFingerprint(fingerprint: string): Promise<readonly Dossier[]>;
  /** Everything under a name: that of certificates, or the subject of tokens. */
  byName(name: string, span: Span): Promise<Deeds>;
}

/** Reads a trail through a reader of the audit room's partition. */
export function readTrail(reader: Reader): TrailReader {
  const find = finder(reader);
  const all = async (starts: readonly Start[]) =>
    await Promise.all(starts.map(async (start) => await dossierOf(find, start)));
  return {
    async head() {
      const row = await reader.get(tables.state, headKey);
      return row === null ? { sequence: 0, hash: genesisHash, handled: {} } : parseHead(row);
    },
    byDigest: async (digest) =>
      await all(groupBySigner(await find("signature-entry", "digest", digest))),
    bySerial: async (serial) => {
      const starts = await startsOfSerial(find, serial);
      if (starts.length > 0) return await all(starts);
      const [only] = await all([startOf({ serial })]);
      return only && only.certificateEntries.length + only.refused.length > 0 ? [only] : [];
    },
    byFingerprint: async (fingerprint) =>
      (await all([startOf({ fingerprint })])).filter(
        ({ issued, signatureEntries }) => issued !== null || signatureEntries.length > 0,
      ),
    async byName(name, span) {
      const inside = within(span);
      const issued = await find("issued", "name", name);
      // Entries whose certificate says this name, though nobody here issued it.
      const foreign = (await find("signature-entry", "name", name)).filter(inside);
      const starts = issued.filter(inside).map((one) => startOf({ issued: one }));
      return {
        certificates: await all([...starts, ...strangersIn(foreign, issued)]),
        refusals: (await find("refused", "name", name)).filter(inside),
        signIns: (await find("signed-in", "name", name)).filter(inside),
        signInRefusals: (await find("sign-ins-refused", "name", name))
          .flatMap(({ refusals }) => refusals)
          .filter((one) => one.account === name && inside(one)),
      };
    },
  };
}

type Find = <Kind extends AuditRecord["body"]["kind"]>(
  kind: Kind,
  tag: Tag,
  value: string,
) => Promise<BodyOf<Kind>[]>;

/** Records of one kind under one value. */
function finder(reader: Reader): Find {
  return async <Kind extends AuditRecord["body"]["kind"]>(kind: Kind, tag: Tag, value: string) => {
    const found: BodyOf<Kind>[] = [];
    for await (const { body } of records(reader, tag, value)) {
      if (body.kind === kind) found.push(body as BodyOf<Kind>); // the kind tells
    }
    return found;
  };
}

function within({ sinceMs, untilMs, oidcIssuer }: Span) {
  return (record: { readonly at: string; readonly oidcIssuer?: string | undefined }): boolean => {
    const atMs = Date.parse(record.at);
    const ofIssuer = oidcIssuer === undefined || record.oidcIssuer === oidcIssuer;
    return atMs >= sinceMs && atMs < untilMs && ofIssuer;
  };
}

async function startsOfSerial(find: Find, serial: string): Promise<readonly Start[]> {
  const issued = await find("issued", "serial", serial);
  const strangers = strangersIn(await find("signature-entry", "serial", serial), issued);
  return [
    ...issued.map((one) => startOf({ issued: one })),
    ...strangers.filter((start) => start.serial === serial),
  ];
}

/** Those who signed entries with certificates that are none of the issued. */
function strangersIn(
  entries: readonly BodyOf<"signature-entry">[],
  issued: readonly BodyOf<"issued">[],
): readonly Start[] {
  const known = new Set(issued.map(({ fingerprint }) => fingerprint));
  return groupBySigner(entries).filter(({ fingerprint }) => !known.has(fingerprint ?? ""));
}

async function dossierOf(find: Find, start: Start): Promise<Dossier> {
  const issued = start.issued ?? (await issuanceOf(find, start));
  const { serial, fingerprint, publicKeySha256 } = issued ?? start;
  const dossier = {
    issued,
    serial,
    fingerprint,
    publicKeySha256,
    certificateEntries: serial === null ? [] : await find("certificate-entry", "serial", serial),
    signatureEntries: start.entries ?? (await entriesOf(find, fingerprint)),
    refused: serial === null ? [] : await find("refused", "serial", serial),
  };
  return { ...dossier, gaps: gapsOf(dossier) };
}

async function issuanceOf(find: Find, { fingerprint }: Start): Promise<BodyOf<"issued"> | null> {
  if (fingerprint === null) return null;
  return (await find("issued", "fingerprint", fingerprint))[0] ?? null;
}

async function entriesOf(find: Find, fingerprint: string | null) {
  return fingerprint === null ? [] : await find("signature-entry", "fingerprint", fingerprint);
}

/** What a dossier begins with. */
interface Start {
  readonly issued: BodyOf<"issued"> | null;
  readonly serial: string | null;
  readonly fingerprint: string | null;
  readonly publicKeySha256: string | null;
  /** Those asked for; null for all there are. */
  readonly entries: readonly BodyOf<"signature-entry">[] | null;
}

function startOf(known: Partial<Start>): Start {
  const nothing = { serial: null, fingerprint: null, publicKeySha256: null, entries: null };
  return { issued: null, ...nothing, ...known };
}

const pageSize = 512;

async function* records(reader: Reader, tag: Tag, value: string): AsyncGenerator<AuditRecord> {
  const prefix = indexPrefix(tag, value);
  const end = new Uint8Array([...prefix, ...new Uint8Array(8).fill(0xff), 0]);
  let from = prefix;
  // Page after page: a busy pipeline has many records under one name.
  for (;;) {
    const rows = await reader.scan(tables.index, { from, to: end, limit: pageSize });
    for (const { key } of rows) {
      const sequence = BigInt(sequenceIn(key));
      const [row] = await reader.read(recordStream, sequence - 1n, 1);
      if (row?.sequence === sequence) yield parseRecord(row.value);
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageSize) return;
    from = new Uint8Array([...last.key, 0]);
  }
}

/** One start a signer: what one certificate signed belongs together. */
function groupBySigner(entries: readonly BodyOf<"signature-entry">[]): readonly Start[] {
  const groups = new Map<string, Start & { readonly entries: BodyOf<"signature-entry">[] }>();
  for (const entry of entries) {
    for (const { fingerprint = null, serial = null, publicKeySha256 = null } of entry.signers) {
      const key = fingerprint ?? publicKeySha256 ?? "";
      const group = groups.get(key) ?? {
        ...startOf({ fingerprint, serial, publicKeySha256 }),
        entries: [],
      };
      group.entries.push(entry);
      groups.set(key, group);
    }
  }
  return [...groups.values()];
}

function gapsOf({
  issued,
  fingerprint,
  certificateEntries,
  signatureEntries,
  refused,
}: Omit<Dossier, "gaps">): readonly string[] {
  const gaps: string[] = [];
  // A certificate whose SCT comes beside it is logged itself, and has no precertificate.
  const logged = certificateEntries.some(({ isAuthority }) => !isAuthority);
  if (issued !== null && !logged) {
    gaps.push("the certificate was issued, and no certificate transparency log has it");
  }
  if (issued === null && logged && refused.length === 0) {
    gaps.push("a certificate transparency log has it, and there is no record of its issuance");
  }
  if (issued === null && fingerprint !== null && signatureEntries.length > 0) {
    gaps.push("it signed entries of the log, and there is no record that this instance issued it");
  }
  if (issued === null && fingerprint === null && signatureEntries.length > 0) {
    gaps.push("the entries were signed with a bare key, which names nobody");
  }
  return gaps;
}
