/** The audit trail's part of `fsck`: the chain by itself, then held against what the issuer and the logs keep. */
import { encodeHex } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Reader } from "../../core/storage.ts";
import { type AuditRecord, genesisHash, hashRecord, parseRecord } from "./record.ts";
import { headKey, indexedBy, indexKey, parseHead, recordStream, tables } from "./rows.ts";

/** Something that is not as it must be; a `warning` is what a running instance makes good by itself. */
export interface AuditFinding {
  readonly severity: "error" | "warning";
  readonly text: string;
}

/** What {@link fsckAudit} needs: readers of the partitions as they are. */
export interface AuditQuestion {
  readonly audit: Reader;
  readonly issuer: Reader;
  /** By their fact streams' names: `log/ct`. */
  readonly logs: ReadonlyMap<string, Reader>;
  /** The sign-in's; null in a home that never had one. */
  readonly idp: Reader | null;
  /** What the issuer's table `outcomes` says of a serial: whether a certificate was issued. */
  readonly isIssued: (outcome: Uint8Array) => boolean;
}

const pageSize = 512;
/** Findings of one kind that are named one by one. */
const named = 20;

/** Every finding, and how many records there are. */
export async function fsckAudit(
  question: AuditQuestion,
): Promise<{ readonly findings: readonly AuditFinding[]; readonly records: number }> {
  const findings: AuditFinding[] = [];
  // The trail first: what is issued meanwhile is newer than it, and only ever a warning.
  const seen = await walk(question.audit, findings);
  if (seen === null) return { findings, records: 0 };
  const differences = await compareIssuances(question, seen);
  // Last: whatever was found to be newer than the trail has its fact in a stream by now.
  const lagging = await compareStreams(question, seen, findings);
  tellDifferences(differences, lagging ? "warning" : "error", findings);
  if (lagging) findings.push({ severity: "warning", text: "has not followed everything yet" });
  return { findings, records: seen.records };
}

/** What the trail says. */
interface Seen {
  records: number;
  readonly handled: { readonly [stream: string]: number };
  /** Serials, hex. */
  readonly issued: Set<string>;
  readonly givenUp: Set<string>;
  /** Where each serial is logged, as precertificate or as certificate. */
  readonly logged: Map<string, string>;
  /** The next index of each log. */
  readonly next: Map<string, bigint>;
  /** The last fact of the issuer. */
  lastIssuerFact: number;
  lastSignIn: number;
}

/** The chain, the head, the index, and that no fact was left out. Null if it cannot be gone on from. */
async function walk(audit: Reader, findings: AuditFinding[]): Promise<Seen | null> {
  const row = await audit.get(tables.state, headKey);
  const head = row === null ? { sequence: 0, hash: genesisHash, handled: {} } : parseHead(row);
  const seen: Seen = {
    records: 0,
    handled: head.handled,
    issued: new Set(),
    givenUp: new Set(),
    logged: new Map(),
    next: new Map(),
    lastIssuerFact: 0,
    lastSignIn: 0,
  };
  let previous = genesisHash;
  while (seen.records < head.sequence) {
    const page = await audit.read(recordStream, BigInt(seen.records), pageSize);
    if (page.length === 0) break;
    for (const { value } of page.slice(0, head.sequence - seen.records)) {
      seen.records += 1;
      const problem = await takeRecord({ audit, seen, previous, value }, findings);
      if (problem !== null) {
        findings.push({ severity: "error", text: `record ${seen.records}: ${problem}` });
        return null;
      }
      previous = hashRecord(value);
    }
  }
  if (seen.records !== head.sequence || previous !== head.hash) {
    const text = `the chain ends with record ${seen.records}, and not with the head ${head.sequence}`;
    findings.push({ severity: "error", text });
    return null;
  }
  return seen;
}

interface Step {
  readonly audit: Reader;
  readonly seen: Seen;
  readonly previous: string;
  readonly value: Uint8Array;
}

/** Why the chain is broken here; null if it is not. */
async function takeRecord(
  { audit, seen, previous, value }: Step,
  findings: AuditFinding[],
): Promise<string | null> {
  const record = parsed(value);
  if (record === null) return "cannot be read";
  if (record.sequence !== seen.records) return `calls itself record ${record.sequence}`;
  if (record.previous !== previous) return "does not hang on the one before";
  for (const [tag, name] of indexedBy(record.body)) {
    if ((await audit.get(tables.index, indexKey(tag, name, record.sequence))) === null) {
      const text = `record ${record.sequence} is not found by its ${tag}`;
      findings.push({ severity: "error", text });
    }
  }
  return note(record, seen);
}

function parsed(value: Uint8Array): AuditRecord | null {
  try {
    return parseRecord(value);
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    return null;
  }
}

/** Takes down what the record says, and says if something was left out before it. */
function note({ body }: AuditRecord, seen: Seen): string | null {
  switch (body.kind) {
    case "issued":
    case "refused":
    case "counted":
      if (body.kind === "issued") seen.issued.add(body.serial);
      if (body.kind === "refused" && body.serial !== undefined) seen.givenUp.add(body.serial);
      if (body.source.sequence !== ++seen.lastIssuerFact) {
        return `tells of the issuer's fact ${body.source.sequence}, and fact ${seen.lastIssuerFact} is next`;
      }
      return null;
    case "signed-in":
    case "sign-ins-refused":
      if (body.source.sequence === ++seen.lastSignIn) return null;
      return `tells of sign-in ${body.source.sequence}, and ${seen.lastSignIn} is next`;
    case "certificate-entry":
    case "signature-entry": {
      const next = seen.next.get(body.log) ?? 0n;
      seen.next.set(body.log, next + 1n);
      if (body.kind === "certificate-entry" && !body.isAuthority) {
        seen.logged.set(body.serial, `${body.log} #${body.index}`);
      }
      return body.index === String(next)
        ? null
        : `tells of entry ${body.index} of the log ${body.log}, and entry ${next} is next`;
    }
  }
}

/** True if some facts are still to be followed. A trail that knows of more than there is, is newer than its sources. */
async function compareStreams(
  { issuer, idp, logs }: AuditQuestion,
  { handled }: Seen,
  findings: AuditFinding[],
): Promise<boolean> {
  let lagging = false;
  const signIn = idp === null ? [] : [["idp/main", idp] as const];
  const sources = [["issuer/main", issuer] as const, ...signIn, ...logs];
  for (const [stream, reader] of sources) {
    const last = handled[stream] ?? 0;
    const from = BigInt(Math.max(0, last - 1));
    const [own, more] = await reader.read("facts", from, 2);
    if (last > 0 && own?.sequence !== BigInt(last)) {
      const text = `tells of fact ${last} of ${stream}, which is not there: was an older backup put back?`;
      findings.push({ severity: "error", text });
    }
    lagging ||= (last === 0 ? own : more) !== undefined;
  }
  return lagging;
}

/** Serials that one place has and another has not. */
interface Differences {
  readonly unrecorded: readonly string[];
  readonly unknown: readonly string[];
  readonly unlogged: readonly string[];
  readonly strangers: readonly string[];
}

/** Every issuance has its record and its entry, and every entry its issuance. */
async function compareIssuances(
  { issuer, isIssued }: AuditQuestion,
  { issued, givenUp, logged }: Seen,
): Promise<Differences> {
  const known = new Set<string>();
  for await (const { key, value } of scan(issuer, "outcomes")) {
    if (isIssued(value)) known.add(encodeHex(key));
  }
  const strangers: string[] = [];
  for (const [serial, place] of logged) {
    if (issued.has(serial) || givenUp.has(serial)) continue;
    // Under way: its intent is there, its outcome is not, or is not followed yet.
    if ((await issuer.get("intents", Uint8Array.fromHex(serial))) !== null) continue;
    strangers.push(`${serial} (${place})`);
  }
  return {
    unrecorded: [...known].filter((serial) => !issued.has(serial)),
    unknown: [...issued].filter((serial) => !known.has(serial)),
    unlogged: [...issued].filter((serial) => !logged.has(serial)),
    strangers,
  };
}

/** `late` is how bad it is that something is missing which may still come. */
function tellDifferences(
  { unrecorded, unknown, unlogged, strangers }: Differences,
  late: AuditFinding["severity"],
  findings: AuditFinding[],
): void {
  const tell = (serials: readonly string[], what: string, severity: AuditFinding["severity"]) => {
    for (const serial of serials.slice(0, named)) {
      findings.push({ severity, text: `certificate ${serial}: ${what}` });
    }
    const more = serials.length - named;
    if (more > 0) findings.push({ severity, text: `and ${more} more: ${what}` });
  };
  tell(unrecorded, "issued, and not recorded", late);
  tell(unknown, "recorded as issued, and the issuer does not know it", "error");
  tell(unlogged, "issued, and in no certificate transparency log", late);
  tell(strangers, "in the certificate transparency log, and never issued here", "error");
}

async function* scan(reader: Reader, table: string) {
  let from = new Uint8Array();
  for (;;) {
    const rows = await reader.scan(table, { ...(from.length > 0 && { from }), limit: pageSize });
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageSize) return;
    from = new Uint8Array([...last.key, 0]);
  }
}
