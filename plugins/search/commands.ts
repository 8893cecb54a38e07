/** The search room's part of the CLI. */
import { existsSync } from "node:fs";
import { isDamage, openIndexReadOnly } from "./database.ts";

/** What `fsck` says of the index. */
export interface SearchReport {
  /** Never damage: the index is made anew from the logs. */
  readonly findings: readonly { readonly severity: "warning"; readonly text: string }[];
  /** Entries of each log that are in the index. */
  readonly indexed: ReadonlyMap<string, bigint>;
}

/** Looks at the index in the file, beside whoever writes it. */
export function fsckSearch(path: string): SearchReport {
  const indexed = new Map<string, bigint>();
  const findings: SearchReport["findings"][number][] = [];
  const warn = (text: string): void => void findings.push({ severity: "warning", text });
  if (!existsSync(path)) return { findings, indexed };
  try {
    using database = openIndexReadOnly(path);
    for (const row of database.prepare("SELECT name, size FROM logs ORDER BY name").all()) {
      indexed.set(String(row["name"]), BigInt(Number(row["size"])));
    }
    const problem = String(Object.values(database.prepare("PRAGMA quick_check(1)").get() ?? {})[0]);
    if (problem !== "ok") warn(`the index is damaged and will be made anew: ${problem}`);
  } catch (thrown) {
    if (!isDamage(thrown)) throw thrown;
    warn(`the index is damaged and will be made anew: ${String(thrown)}`);
  }
  return { findings, indexed };
}

/** Holds the index against the sizes of the logs, which were read after it and can only be larger. */
export function compareSizes(
  { indexed }: SearchReport,
  sizes: ReadonlyMap<string, bigint>,
): SearchReport["findings"] {
  return [...indexed].flatMap(([log, count]) => {
    const size = sizes.get(log) ?? 0n;
    if (count <= size) return [];
    const text = `the index has ${count} entries of the log ${log}, which has ${size}: it will be made anew`;
    return [{ severity: "warning" as const, text }];
  });
}
