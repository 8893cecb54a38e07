/** What a ledger says of signatures, and a token of a timestamp. */
import * as der from "../../core/formats/der.ts";
import type { LedgerRow } from "./raw.ts";

/** A timestamp that was given. */
export interface Stamp {
  readonly serial: string;
  /** Since 1970. */
  readonly seconds: bigint;
}

/** Serial number and time of a TSTInfo (RFC 3161 §2.4.2). */
export function readStamp(tstInfo: Uint8Array): Stamp {
  const fields = der.walk(der.readDer(tstInfo), "TSTInfo");
  for (const before of ["version", "policy", "messageImprint"]) fields.take(before);
  const serial = der.readUnsigned(fields.take("serialNumber")).toHex();
  const genTime = der.readTime(fields.take("genTime", der.tags.generalizedTime));
  return { serial, seconds: BigInt(genTime.getTime()) / 1_000n };
}

/**
 * What a ledger says of signatures by key: known to be made, and possibly made besides. A kill leaves certificates that were announced, and
 * perhaps never begun: nobody can tell, so they count as possible too, and that bound is by so many wider.
 */
export function signaturesIn({ rows }: { readonly rows: readonly LedgerRow[] }) {
  const made = new Map<string, number>();
  const possible = new Map<string, number>();
  const open = new Map<number, LedgerRow>();
  const add = (to: Map<string, number>, label: string, count: number) =>
    to.set(label, (to.get(label) ?? 0) + count);
  for (const row of rows) {
    if (row.type === "intent") open.set(row.sequence, row);
    for (const { of, status, made: count } of row.results ?? []) {
      const { key = "", count: asked = 0 } = open.get(of) ?? {};
      add(made, key, count);
      if (status === "unknown-signed") add(possible, key, asked);
      open.delete(of);
    }
  }
  for (const { key = "", count = 0 } of open.values()) add(possible, key, count);
  return { made, possible };
}
