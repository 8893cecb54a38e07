/** The record of a ceremony as one HTML file that needs nothing else: for reading, printing and signing. */
import { promisesOf } from "./steps.ts";
import type { TranscriptLine } from "./transcript.ts";
import type { VerifiedTranscript } from "./verify.ts";

const style = `
  :root { color-scheme: light }
  body { font: 15px/1.5 system-ui, sans-serif; color: #1d2329; max-width: 62rem; margin: 3rem auto; padding: 0 1.5rem }
  h1 { font-size: 1.7rem; margin: 0 0 .2rem } h2 { font-size: 1.05rem; margin: 0 }
  p.verdict { background: #e8f4ec; border-left: 4px solid #1a7f43; padding: .6rem 1rem; margin: 1.2rem 0 }
  p.rehearsal { background: #fdf3da; border-left: 4px solid #b37700; padding: .6rem 1rem }
  dl { display: grid; grid-template-columns: 13rem 1fr; gap: .15rem 1rem; margin: .6rem 0 } dt { color: #5b6672 }
  dd { margin: 0; overflow-wrap: anywhere } code, dd.mono { font: 13px/1.5 ui-monospace, monospace }
  section { border-top: 1px solid #d8dee4; padding: 1rem 0; break-inside: avoid }
  header.step { display: flex; gap: 1rem; align-items: baseline } header.step b { color: #5b6672; min-width: 2rem }
  header.step span { margin-left: auto; color: #5b6672; white-space: nowrap }
  ul.promises { color: #5b6672; font-size: 13px; margin: .3rem 0; padding-left: 1.2rem }
  table { border-collapse: collapse; width: 100%; margin: .5rem 0; font-size: 13px }
  td { vertical-align: top; padding: .2rem .8rem .2rem 0; border-top: 1px solid #eceff2; overflow-wrap: anywhere }
  td:first-child { white-space: nowrap; width: 9rem } .sign td { height: 3rem; border-bottom: 1px solid #1d2329 }
  @media print { body { margin: 0; max-width: none } }
`;

/** A transcript that was verified, as HTML. */
export function formatReport({
  lines,
  headSha256,
  transcriptKeySha256,
}: VerifiedTranscript): string {
  const head = lines[0]?.detail ?? {};
  const [begun, ended] = [lines[0]?.at ?? "", lines.at(-1)?.at ?? ""];
  const name = String(head["name"]);
  const rehearsal =
    head["rehearsal"] === true
      ? '<p class="rehearsal">This was a rehearsal on a throw-away token. Nothing that it made exists any more.</p>'
      : "";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Ceremony ${escape(name)}</title><style>${style}</style></head><body>
<h1>Ceremony ${escape(name)}</h1>
<p>${escape(begun)} to ${escape(ended)}, ${lines.length} lines</p>
<p class="verdict">The chain of lines is unbroken, the seal verifies, and every key, signature, certificate and inventory was derived again and fits.</p>
${rehearsal}
${list([
  ["Transcript SHA-256", groups(headSha256)],
  ["Sealed by key", groups(transcriptKeySha256)],
  ["Script SHA-256", groups(String(head["scriptSha256"]))],
  ["PKCS#11 library", String(head["module"])],
  ...Object.entries(Object(head["parameters"])).map(
    ([parameter, value]): readonly [string, string] => [`Parameter ${parameter}`, String(value)],
  ),
])}
${sections(lines).map(section).join("\n")}
<section><h2>Present</h2><table class="sign"><tr><td>Performed by</td><td></td></tr><tr><td>Witnessed by</td><td></td></tr></table></section>
</body></html>
`;
}

interface Section {
  readonly title: string;
  readonly kind: string;
  readonly number: string;
  readonly lines: readonly TranscriptLine[];
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
    const kind = known?.kind ?? plain(detail["step"] ?? "");
    const title = number === "" ? "Opening, interruptions and close" : words(kind);
    const isHeading = what === "step" || what === "checked";
    const shown = isHeading ? [] : [line];
    made.set(number, { title, kind, number, lines: [...(known?.lines ?? []), ...shown] });
  }
  return [...made.values()];
}

function section({ title, kind, number, lines }: Section): string {
  const promises = promisesOf(kind);
  const told = promises
    ? `<ul class="promises"><li>Before: ${escape(promises.precondition)}.</li><li>Checked: ${escape(promises.checks)}.</li><li>Not recorded: ${escape(promises.redaction)}.</li></ul>`
    : "";
  const rows = lines.map(
    ({ what, detail }) =>
      `<tr><td>${escape(what)}</td><td>${list(Object.entries(detail))}</td></tr>`,
  );
  return `<section><header class="step"><b>${number}</b><h2>${escape(title)}</h2><span>${escape(lines[0]?.at ?? "")}</span></header>
${told}<table>${rows.join("")}</table></section>`;
}

function list(entries: readonly (readonly [string, unknown])[]): string {
  const rows = entries.map(([name, value]) => {
    const text = Array.isArray(value) ? value.map(String).join("; ") : plain(value);
    return `<dt>${escape(name)}</dt><dd class="mono">${escape(text)}</dd>`;
  });
  return `<dl>${rows.join("")}</dl>`;
}

function plain(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Hexadecimal in groups of four, to be read aloud. */
function groups(hex: string): string {
  return hex.replaceAll(/(.{4})(?=.)/g, "$1 ");
}

function words(name: string): string {
  const apart = name.replaceAll(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`);
  return apart.charAt(0).toUpperCase() + apart.slice(1);
}

function escape(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
