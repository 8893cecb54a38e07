/** A figure, by the name under which its target is kept. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  /** How it came about, in a few words. */
  readonly detail: string;
}

/** Microseconds an entry, of milliseconds for all. */
export function perEntry(cpuMs: number, entries: number): number {
  return Number(((cpuMs * 1_000) / Math.max(1, entries)).toFixed(1));
}
