/** What the command line of the benchmark says. */
import { parseArgs } from "node:util";
import { type Placement, placements } from "./house.ts";
import { operations } from "./operations.ts";

/** Settings of one run of the benchmark. */
export interface Settings {
  /** Operations to measure. */
  readonly only: readonly string[];
  readonly placements: readonly Placement[];
  readonly seconds: number;
  readonly repeats: number;
  readonly json: boolean;
  readonly profile: boolean;
  /** Entries of the long log. */
  readonly size: number;
  /** Folder in which the home with the long log is kept, to be used again. */
  readonly keep: string | null;
  /** Pairs of a right and a wrong signature over a digest. */
  readonly pairs: number;
  /** File that gets the report as Markdown. */
  readonly write: string | null;
  /** The command as it may be repeated. */
  readonly command: string;
}

/** Figures that are no load, and runs of their own; they are chosen by these names. */
const singles = [
  "start",
  "commands",
  "memory",
  "overload",
  "large",
  "bytes",
  "postgres",
  "digests",
] as const;

const names: readonly string[] = [...operations.map(({ name }) => name), ...singles];

/** @throws {TypeError} that says what is wrong and what there is. */
export function readSettings(args: readonly string[]): Settings {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string", multiple: true },
      placement: { type: "string" },
      seconds: { type: "string", default: "3" },
      repeats: { type: "string", default: "1" },
      size: { type: "string", default: "100000" },
      keep: { type: "string" },
      pairs: { type: "string", default: "2000" },
      json: { type: "boolean", default: false },
      profile: { type: "boolean", default: false },
      write: { type: "string" },
    },
  });
  const only = values.only ?? names;
  const stray = only.find((name) => !names.includes(name));
  if (stray !== undefined) throw new TypeError(`--only ${stray}: there are ${names.join(", ")}`);
  const chosen = placements.filter(
    (placement) => values.placement === undefined || placement === values.placement,
  );
  if (chosen.length === 0) throw new TypeError(`--placement: there are ${placements.join(", ")}`);
  return {
    only,
    placements: chosen,
    seconds: whole("--seconds", values.seconds),
    repeats: whole("--repeats", values.repeats),
    size: whole("--size", values.size),
    keep: values.keep ?? null,
    pairs: whole("--pairs", values.pairs),
    json: values.json,
    profile: values.profile,
    write: values.write ?? null,
    command: ["npm run bench", ...(args.length > 0 ? ["--", ...args] : [])].join(" "),
  };
}

function whole(flag: string, text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new TypeError(`${flag} is a whole number from 1`);
  return Number(text);
}
