/** The targets, held against what was found. Reasons why one is missed are written by hand, in `reasons.json`. */
import reasons from "./reasons.json" with { type: "json" };
import type { Results } from "./report.ts";
import { targets } from "./targets.ts";

/** One line of the table. */
export interface Verdict {
  readonly name: string;
  readonly figure: string;
  readonly value: string;
  readonly target: string;
  readonly issue: number;
  readonly verdict: string;
}

/** The table. What was not measured in this run has no line. */
export function verdicts(results: Results): readonly Verdict[] {
  const written: { readonly [name: string]: string } = reasons;
  return targets.flatMap((target) => {
    const value = target.found(results);
    if (value === null) return [];
    const { name, figure, least, most, unit, issue } = target;
    const isMet = value >= (least ?? -Infinity) && value <= (most ?? Infinity);
    const isBound = least !== undefined || most !== undefined;
    const bound = least === undefined ? `≤ ${most}` : `≥ ${least}`;
    return [
      {
        name,
        figure: `${figure}${detailOf(results, name)}`,
        value: `${short(value)} ${unit}`.trim(),
        target: isBound ? `${bound} ${unit}`.trim() : "",
        issue,
        verdict: !isBound
          ? "reported"
          : isMet
            ? "met"
            : `missed: ${written[name] ?? "no reason written yet"}`,
      },
    ];
  });
}

function detailOf({ figures }: Results, name: string): string {
  const detail = figures.find((one) => one.name === name)?.detail;
  return detail === undefined ? "" : ` (${detail})`;
}

function short(value: number): string {
  if (value === Infinity) return "not carried";
  return value.toFixed(value === 0 || value >= 100 ? 0 : value < 10 ? 2 : 1);
}
