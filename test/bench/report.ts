/** The figures as tables, for a terminal or as Markdown. */
import type { Figure } from "./figure.ts";
import type { Machine } from "./machine.ts";
import type { ProcessProfile, Sample, SyncCount } from "./measure.ts";
import type { Single } from "./once.ts";
import type { Overload } from "./overload.ts";
import { operations } from "./operations.ts";
import type { ByProcess } from "./processes.ts";
import { median } from "./statistics.ts";
import { verdicts } from "./verdicts.ts";

/** Everything one run of the benchmark found; also the shape of `--json`. */
export interface Results {
  readonly command: string;
  readonly seconds: number;
  readonly repeats: number;
  readonly machine: Machine;
  /** The configuration `bench`: what differs from a demo's. */
  readonly configuration: unknown;
  readonly samples: readonly Sample[];
  readonly syncs: readonly SyncCount[];
  readonly singles: readonly Single[];
  readonly profiles: readonly ProcessProfile[];
  readonly overloads: readonly Overload[];
  readonly figures: readonly Figure[];
}

interface Table {
  readonly title: string;
  readonly note: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Others' processor time, in cores, below which rates and latencies may be compared. */
const quietCores = 0.12;

/** The whole report. */
export function formatReport(results: Results, form: "text" | "markdown"): string {
  const tables = [
    targetTable(results),
    ceilings(results.samples),
    processorTime(results.samples),
    syncTable(results.syncs),
    openLoops(results.samples),
    overloadTable(results.overloads),
    singlesTable(results.singles),
    ...results.profiles.map(profileTable),
  ].filter(({ rows }) => rows.length > 0);
  const format = form === "markdown" ? formatMarkdown : formatText;
  return `${[...head(results, form), ...tables.map(format)].join("\n\n")}\n`;
}

function head(
  { command, seconds, repeats, machine, configuration, samples }: Results,
  form: "text" | "markdown",
): readonly string[] {
  const bullet = form === "markdown" ? "- " : "  ";
  const facts = Object.entries(machine).map(([name, value]) => `${bullet}${name}: ${value}`);
  const foreign = samples.map(({ foreignCores }) => foreignCores);
  const most = foreign.length === 0 ? 0 : Math.max(...foreign);
  const quoted = form === "markdown" ? `\`${command}\`` : command;
  const busy =
    median(foreign) < quietCores
      ? []
      : [
          "**This machine was busy with other work: read syncs and CPU-ms for one request, not rates and latencies.**",
        ];
  const title = form === "markdown" ? "# Figures\n\n" : "";
  return [
    `${title}Written by ${quoted}: ${seconds} s a run, ${repeats} ${repeats === 1 ? "repeat" : "repeats"}; medians [lowest - highest].`,
    [
      ...facts,
      `${bullet}foreign processor time during runs: median ${median(foreign).toFixed(2)}, most ${most.toFixed(2)} cores`,
      `${bullet}configuration: ${JSON.stringify(configuration)}`,
    ].join("\n"),
    ...busy,
    [
      "Service, token, NATS and load generator share this machine, so these are lower bounds; SoftHSM stands for the HSM. Every answer is",
      "durable before it is given, and every instance passed `chancery fsck` after its runs (one with more than a million generated entries",
      "is not asked to). A latency of an open loop counts from when the request was due. `together`: vault and services, two processes.",
      "`apart`: every plugin in a process of its own. A dash: too few requests to know.",
    ].join("\n"),
  ];
}

function targetTable(results: Results): Table {
  return {
    title: "Targets",
    note: "What the issues want, and what this run found. Rates and latencies are of the placement `together`; what was not measured in this run has no line.",
    columns: ["figure", "value", "target", "issue", "verdict"],
    rows: verdicts(results).map(({ figure, value, target, issue, verdict }) => [
      figure,
      value,
      target,
      String(issue),
      verdict,
    ]),
  };
}

function ceilings(samples: readonly Sample[]): Table {
  const closed = samples.filter(({ mode }) => "lanes" in mode);
  return {
    title: "Ceilings",
    note: "Closed loop: so many requests under way at any time, after ten seconds or so to warm up.",
    columns: ["operation", "placement", "at a time", "per second", ...latencyColumns, "errors"],
    rows: groups(closed).map((group) => [
      ...named(group),
      "lanes" in group.first.mode ? String(group.first.mode.lanes) : "",
      spread(group.all.map(({ load }) => load.perSecond)),
      ...latencies(group.all),
      errors(group.all),
    ]),
  };
}

function processorTime(samples: readonly Sample[]): Table {
  const closed = samples.filter(({ mode }) => "lanes" in mode);
  return {
    title: "Processor time",
    note: "CPU-ms for one request in the closed loop, from /proc, of each process; the load generator is not in the sum.",
    columns: ["operation", "placement", "sum", "by process"],
    rows: groups(closed).map((group) => {
      const each = medians(group.all.map(({ cpuMs }) => cpuMs));
      const service = each.filter(([name]) => name !== "generator");
      const sum = service.reduce((total, [, ms]) => total + ms, 0);
      return [...named(group), sum.toFixed(2), byProcess(each)];
    }),
  };
}

function syncTable(syncs: readonly SyncCount[]): Table {
  return {
    title: "Syncs",
    note: "fsync, fdatasync and msync for one request, counted by strace in a run of its own. One at a time nothing is shared; under load batches share.",
    columns: ["operation", "placement", "at a time", "requests", "sum", "by process"],
    rows: syncs.map(({ operation, placement, lanes, requests, perRequest }) => {
      const each = Object.entries(perRequest);
      const sum = each.reduce((total, [, count]) => total + count, 0);
      const cells = [String(lanes), String(requests), sum.toFixed(2), byProcess(each)];
      return [titleOf(operation), placement, ...cells];
    }),
  };
}

function openLoops(samples: readonly Sample[]): Table {
  const open = samples.filter(({ mode }) => "perSecond" in mode);
  return {
    title: "Fixed rates",
    note: "Open loop, constant arrivals. The first rate that is not carried is the last one tried. `late` is the generator's own lateness, p99, which is part of the latencies.",
    columns: ["operation", "placement", "offered", "done", ...latencyColumns, "late", "errors"],
    rows: groups(open).map((group) => [
      ...named(group),
      "perSecond" in group.first.mode ? `${group.first.mode.perSecond}/s` : "",
      spread(group.all.map(({ load }) => load.perSecond)),
      ...latencies(group.all),
      spread(group.all.map(({ load }) => load.latenessP99)),
      errors(group.all),
    ]),
  };
}

function overloadTable(overloads: readonly Overload[]): Table {
  return {
    title: "Beyond capacity",
    note: "Certificates, a demo's own limits: three times what the closed loop carried, offered for so long; what of it arrived in that time, because the generator shares the machine. Work is accepted requests for each second of CPU of vault, services and NATS, at peak the mean of a run before and one after. Rude: neither served nor told, by 429 or 503, when to come back. Normal again: a certificate, one at a time, takes at most twice what it took before.",
    columns: [
      "capacity",
      "offered",
      "arrived",
      "served",
      "work at peak",
      "work beyond",
      "share",
      "refused",
      "rude",
      "memory before, most, after MiB",
      "normal again after s",
    ],
    rows: overloads.map((one) => [
      `${one.capacityPerSecond.toFixed(0)}/s`,
      `${one.offeredPerSecond.toFixed(0)}/s for ${one.seconds} s`,
      `${one.putPerSecond.toFixed(0)}/s`,
      `${one.servedPerSecond.toFixed(0)}/s`,
      `${one.peakWork.toFixed(0)} (${one.peakWorks.map((work) => work.toFixed(0)).join(", ")})`,
      one.work.toFixed(0),
      `${((one.work / one.peakWork) * 100).toFixed(0)} %`,
      Object.entries(one.refused)
        .map(([status, count]) => `${status}: ${count}`)
        .join(", ") || "0",
      String(one.rude),
      Object.entries(one.memoryMiB)
        .map(
          ([name, { before, most, after }]) =>
            `${name} ${[before, most, after].map((mib) => mib.toFixed(0)).join(" ")}`,
        )
        .join(", "),
      one.recoverySeconds === null ? "-" : one.recoverySeconds.toFixed(1),
    ]),
  };
}

function singlesTable(singles: readonly Single[]): Table {
  const names = [...new Set(singles.map(({ name, placement }) => `${placement}\n${name}`))];
  return {
    title: "Once",
    note: "",
    columns: ["figure", "placement", "value", "bound"],
    rows: names.map((key) => {
      const all = singles.filter(({ name, placement }) => `${placement}\n${name}` === key);
      const [{ name, placement, unit, bound } = { name: "", placement: "", unit: "", bound: "" }] =
        all;
      return [name, placement, `${spread(all.map(({ value }) => value))} ${unit}`, bound];
    }),
  };
}

function profileTable({ operation, process, costs }: ProcessProfile): Table {
  return {
    title: `Top costs of ${process}: ${titleOf(operation)}`,
    note: "V8 CPU profile during the closed loop, self time over all threads. Waiting inside a native call, as for a disk, counts; threads without JavaScript are not seen.",
    columns: ["share", "ms", "function"],
    rows: costs.map(({ at, selfMs, share }) => [
      `${(share * 100).toFixed(1)} %`,
      selfMs.toFixed(0),
      at,
    ]),
  };
}

const latencyColumns = ["p50 ms", "p99 ms", "p99.9 ms"];

function latencies(all: readonly Sample[]): readonly string[] {
  return [
    spread(all.map(({ load }) => load.p50)),
    spread(all.map(({ load }) => load.p99)),
    spread(all.map(({ load }) => load.p999)),
  ];
}

interface Group {
  readonly first: Sample;
  readonly all: readonly Sample[];
}

/** Repeats of the same thing, placements side by side, in the order of the list of operations. */
function groups(samples: readonly Sample[]): readonly Group[] {
  const order = operations.map(({ name }) => name);
  const rank = ({ operation, mode }: Sample): number =>
    order.indexOf(operation) * 1e6 + ("perSecond" in mode ? mode.perSecond : 0);
  const byKey = Map.groupBy(samples, ({ placement, operation, mode }) =>
    JSON.stringify([placement, operation, mode]),
  );
  return [...byKey.values()]
    .flatMap((all) => (all[0] === undefined ? [] : [{ first: all[0], all }]))
    .toSorted((left, right) => rank(left.first) - rank(right.first));
}

function named({ first }: Group): readonly string[] {
  return [titleOf(first.operation), first.placement];
}

function titleOf(operation: string): string {
  return operations.find(({ name }) => name === operation)?.title ?? operation;
}

function errors(all: readonly Sample[]): string {
  return String(all.reduce((sum, { load }) => sum + load.errors, 0));
}

function medians(all: readonly ByProcess<number>[]): readonly (readonly [string, number])[] {
  return Object.keys(all[0] ?? {}).map((name) => [name, median(all.map((one) => one[name] ?? 0))]);
}

function byProcess(each: readonly (readonly [string, number])[]): string {
  return each.map(([name, value]) => `${name} ${value.toFixed(2)}`).join(", ");
}

/** The median, and lowest and highest if there is more than one value. */
function spread(values: readonly (number | null)[]): string {
  const known = values.filter((value) => value !== null);
  if (known.length === 0 || known.length < values.length) return "-";
  const middle = short(median(known));
  if (known.length === 1) return middle;
  return `${middle} [${short(Math.min(...known))} - ${short(Math.max(...known))}]`;
}

function short(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

function formatText({ title, note, columns, rows }: Table): string {
  const widths = columns.map((column, at) =>
    Math.max(column.length, ...rows.map((row) => (row[at] ?? "").length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd();
  return [title.toUpperCase(), ...(note ? [note] : []), line(columns), ...rows.map(line)].join(
    "\n",
  );
}

function formatMarkdown({ title, note, columns, rows }: Table): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll(/[<>*_]/g, "\\$&")).join(" | ")} |`;
  return [
    `## ${title}`,
    "",
    ...(note ? [note, ""] : []),
    line(columns),
    `| ${columns.map(() => "---").join(" | ")} |`,
    ...rows.map(line),
  ].join("\n");
}
