/** The steps of a record: what each promised, and every line that it wrote. */
import { hash } from "node:crypto";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { escape } from "./report-html.ts";
import { promisesOf } from "./steps.ts";
import type { TranscriptLine } from "./transcript.ts";

interface Section {
  readonly title: string;
  readonly kind: string;
  readonly number: string;
  readonly lines: readonly TranscriptLine[];
}

/** All of them, in order. */
export function stepsOf(lines: readonly TranscriptLine[]): string {
  return `<ol class="steps">${sections(lines).map(item).join("\n")}</ol>`;
}

/** Lines by step; what an interrupted step did later stands with it. */
function sections(lines: readonly TranscriptLine[]): readonly Section[] {
  const made = new Map<string, Section>();
  let number = "";
  for (const line of lines.slice(1)) {
    const { what, detail } = line;
    if (what === "step" || what === "step again") number = String(detail["number"]);
    if (what.startsWith("inventory after") || what === "seal" || what === "resumed") number = "";
    const known = made.get(number);
    const kind = known?.kind ?? text(detail["step"] ?? "");
    const title = number === "" ? "Opening, interruptions and close" : titleOf(known, detail, kind);
    const isHeading = what === "step" || what === "checked";
    const shown = isHeading ? [] : [line];
    made.set(number, { title, kind, number, lines: [...(known?.lines ?? []), ...shown] });
  }
  const all = [...made.values()];
  return [...all.filter((one) => one.number !== ""), ...all.filter((one) => one.number === "")];
}

/** As the step announced itself; transcripts of older releases name its kind alone. */
function titleOf(known: Section | undefined, { title }: TranscriptLine["detail"], kind: string) {
  return known?.title ?? words(typeof title === "string" ? title : kind);
}

function item({ title, kind, number, lines }: Section): string {
  const promises = promisesOf(kind);
  const told = promises
    ? `<ul class="promises"><li>Before: ${escape(promises.precondition)}.</li><li>Checked: ${escape(promises.checks)}.</li><li>Not recorded: ${escape(promises.redaction)}.</li></ul>`
    : "";
  const at = lines[0]?.at ?? "";
  const time = at === "" ? "" : `<time datetime="${escape(at)}">${escape(at)}</time>`;
  const rows = lines.map(
    ({ what, detail }) =>
      `<tr><th scope="row">${escape(what)}</th><td>${details(detail)}</td></tr>`,
  );
  const table =
    rows.length === 0 ? "" : `<table class="lines"><tbody>${rows.join("\n")}</tbody></table>`;
  return `<li><div class="step"><span class="number">${number}</span><h3>${escape(title)}</h3>${time}</div>
${told}${table}</li>`;
}

function details(detail: TranscriptLine["detail"]): string {
  const told = Object.entries(detail).map(
    ([name, value]) =>
      `<span class="name">${escape(name)}</span> <code>${escape(brief(text(value)))}</code>`,
  );
  return told.join("<br>");
}

function text(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) {
    if (value.length === 0) return "none";
    return value.map(String).join("; ");
  }
  return JSON.stringify(value);
}

const longest = 400;

/** What nobody reads is named by its hash: the transcript has it whole. */
function brief(value: string): string {
  if (value.length <= longest) return value;
  const sha256 = hash("sha256", encodeUtf8(value), "hex");
  return `${value.slice(0, 60)} … (${value.length} characters in the transcript, SHA-256 ${sha256})`;
}

function words(name: string): string {
  const isWord = /^[a-z]+[A-Za-z]*$/.test(name);
  const apart = isWord ? name.replaceAll(/[A-Z]/g, (one) => ` ${one.toLowerCase()}`) : name;
  return apart.charAt(0).toUpperCase() + apart.slice(1);
}
