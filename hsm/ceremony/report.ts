/** The record of a ceremony, or of an operation, as one HTML file that needs nothing else: for reading, printing and signing. */
import { parseJson } from "../../core/formats/json.ts";
import {
  aloud,
  box,
  type Cell,
  code,
  escape,
  facts,
  type Html,
  part,
  table,
  whole,
} from "./report-html.ts";
import { stepsOf } from "./report-steps.ts";
import { reportStyle } from "./report-style.ts";
import type { Detail, TranscriptLine } from "./transcript.ts";
import type { VerifiedTranscript } from "./verify.ts";

/** A transcript that was verified, as HTML. */
export function formatReport(verified: VerifiedTranscript): string {
  const { lines } = verified;
  const head = lines[0]?.detail ?? {};
  const what = head["live"] === true ? "Operation" : "Ceremony";
  const title = `${what} ${told(head["name"])}`;
  // Whatever a transcript may hold, the page fetches and runs nothing.
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(title)}</title><style>${reportStyle}</style></head><body><main>
<header><h1>${escape(title)}</h1>
<p class="quiet">${escape(when(lines))}</p></header>
${verdict(head, lines)}
${part("What it was", facts("Read from the first and the last line of the transcript", summary(verified, head)))}
${part("To be compared aloud", ...comparisons(verified, head))}
${part("Tokens", tokens(lines), ...objects(lines))}
${part("Keys", keys(lines))}
${part("Certificates", certificates(lines))}
${part("TUF roots", roots(lines))}
${part("Files", files(lines))}
${part("Interruptions", interruptions(lines))}
${part("Every step", stepsOf(lines))}
${signatures}
</main></body></html>
`;
}

function when(lines: readonly TranscriptLine[]): string {
  const [begun = "", ended = ""] = [lines[0]?.at, lines.at(-1)?.at];
  const seconds = (Date.parse(ended) - Date.parse(begun)) / 1_000;
  return `${begun} to ${ended} (${seconds.toFixed(1)} s), ${lines.length} lines`;
}

function verdict(head: Detail, lines: readonly TranscriptLine[]): string {
  const isGivenUp = lines.some(({ what }) => what === "abandoned");
  const warnings = [
    ...(head["rehearsal"] === true
      ? ["This was a rehearsal on a throw-away token. Nothing that it made exists any more."]
      : []),
    ...(isGivenUp ? ["This was given up before its end. What it had made until then stays."] : []),
  ];
  const good =
    "The chain of lines is unbroken, the seal verifies, and every key, signature, certificate and inventory was derived again and fits.";
  return [
    `<p class="verdict"><strong>Verified.</strong> ${good}</p>`,
    ...warnings.map((text) => `<p class="warning"><strong>Note.</strong> ${text}</p>`),
  ].join("\n");
}

function summary(
  { lines }: VerifiedTranscript,
  head: Detail,
): readonly (readonly [string, Cell])[] {
  const parameters: unknown = head["parameters"];
  // Of an operation they are one string, as its transcript compares them.
  const named: unknown = typeof parameters === "string" ? parseJson(parameters) : parameters;
  return [
    ["Name", told(head["name"])],
    ["Kind", kindOf(head)],
    ["Steps", `${told(head["steps"])}, all done and checked`],
    ["Begun", lines[0]?.at ?? ""],
    ["Ended", lines.at(-1)?.at ?? ""],
    ["Sealed by", `the key "${told(head["transcriptKey"])}"`],
    ...(head["module"] === undefined
      ? []
      : [["PKCS#11 library", code(told(head["module"]))] as const]),
    ...Object.entries(Object(named)).map(
      ([name, value]) => [`Parameter ${name}`, code(told(value))] as const,
    ),
  ];
}

function kindOf(head: Detail): string {
  if (head["live"] === true) return "operation on a running instance";
  return head["rehearsal"] === true
    ? "rehearsal"
    : "performed after a rehearsal of the same script";
}

/** What those present hold against what they brought with them. */
function comparisons(verified: VerifiedTranscript, head: Detail): readonly string[] {
  const { lines, headSha256, transcriptKeySha256 } = verified;
  const rows: [string, Html, string][] = [];
  const add = (what: string, value: unknown, against: string): void => {
    if (value !== undefined) rows.push([what, aloud(told(value)), against]);
  };
  add("Script", head["scriptSha256"], "the script as it was reviewed");
  add("Rehearsal", head["rehearsalSha256"], "the record of the rehearsal");
  for (const detail of detailsOf(lines, "token")) {
    add(`Token ${told(detail["label"])}`, detail["serial"], "the number engraved on the device");
  }
  for (const detail of detailsOf(lines, "existing key")) {
    add(
      `Key ${told(detail["label"])}`,
      detail["publicKeySha256"],
      "the record of the ceremony that made it",
    );
  }
  for (const detail of detailsOf(lines, "certificate")) {
    const isRoot = detail["kind"] === "root" || detail["kind"] === "single";
    if (isRoot) add(`Certificate of ${told(detail["key"])}`, detail["sha256"], "what is published");
  }
  for (const { path, sha256 } of detailsOf(lines, "wrote")) {
    const isFirst = told(path).endsWith("/1.root.json");
    if (isFirst) add(`First TUF root (${told(path)})`, sha256, "what clients are given");
  }
  for (const detail of detailsOf(lines, "TUF root")) {
    add(`TUF root ${told(detail["version"])}`, detail["sha256"], "what is published");
  }
  add("Sealing key", transcriptKeySha256, "the published transcript key");
  add("This transcript", headSha256, "what each of those present notes down");
  const text =
    "<p>One of those present reads each value aloud from this page, another compares it with what is named beside it, a third ticks it off. All values are SHA-256 of the whole file or of the public half, but for serial numbers.</p>";
  const ticked = rows.map(([what, value, against]) => [what, value, against, box] as const);
  return [text, table("Values to compare", ["What", "Value", "Against", "Agreed"], ticked)];
}

function tokens(lines: readonly TranscriptLine[]): string {
  const rows = detailsOf(lines, "token").map(
    ({ token, label, serial, manufacturer, model, firmware }) => [
      told(token),
      told(label),
      code(told(serial)),
      `${told(manufacturer)} ${told(model)}`,
      told(firmware ?? ""),
    ],
  );
  return table("Devices", ["Token", "Label", "Serial number", "Maker and model", "Firmware"], rows);
}

/** Each object of each token, before and after. */
function objects(lines: readonly TranscriptLine[]): readonly string[] {
  return detailsOf(lines, "inventory before").map((before) => {
    const after = detailsOf(lines, "inventory after").find(
      ({ token }) => token === before["token"],
    );
    const [were, are] = [listOf(before["objects"]), listOf(after?.["objects"])];
    const rows = [...new Set([...were, ...are])].toSorted().map((object) => {
      const [was, is] = [were.includes(object), are.includes(object)];
      const change = was && is ? "unchanged" : is ? "made" : "destroyed";
      return [code(object), was ? "there" : "not there", is ? "there" : "not there", change];
    });
    const caption = `Objects on the token ${told(before["token"])}: ${were.length} before, ${are.length} after`;
    return rows.length === 0
      ? `<p>${escape(caption)}.</p>`
      : table(caption, ["Object", "Before", "After", "Change"], rows);
  });
}

function keys(lines: readonly TranscriptLine[]): string {
  const of = (what: string, how: string) =>
    detailsOf(lines, what).map((detail) => [
      told(detail["label"]),
      how,
      told(detail["token"]),
      whole(told(detail["algorithm"])),
      aloud(told(detail["publicKeySha256"])),
    ]);
  return table(
    "Private halves never left their token; their attributes were read back",
    ["Key", "Made or found", "Token", "Algorithm", "SHA-256 of its public half"],
    [...of("key", "made"), ...of("existing key", "found")],
  );
}

function certificates(lines: readonly TranscriptLine[]): string {
  const rows = detailsOf(lines, "certificate").map((detail) => [
    told(detail["subject"]).replaceAll("\n", ", "),
    told(detail["kind"]),
    told(detail["key"]),
    detail["issuer"] === detail["key"] ? "itself" : told(detail["issuer"]),
    whole(told(detail["notAfter"]).slice(0, 10)),
    listOf(detail["verifiedBy"]).join(", "),
    aloud(told(detail["sha256"])),
  ]);
  return table(
    "Each was linted under a throw-away key before it was signed, and again when it was read back",
    ["Subject", "Kind", "Key", "Issued by", "Until", "Verified by", "SHA-256"],
    rows,
  );
}

function roots(lines: readonly TranscriptLine[]): string {
  const rows = detailsOf(lines, "TUF root").map((detail) => [
    told(detail["version"]),
    `${told(detail["threshold"])} of ${listOf(detail["keyids"]).length}`,
    {
      html: listOf(detail["keyids"])
        .map((keyid) => code(keyid).html)
        .join("<br>"),
    },
    whole(told(detail["expires"]).slice(0, 10)),
    aloud(told(detail["sha256"])),
  ]);
  const columns = ["Version", "Signatures demanded", "Keys", "Expires", "SHA-256"];
  return table("Signed as the root before it and it itself demand", columns, rows);
}

function files(lines: readonly TranscriptLine[]): string {
  const rows = detailsOf(lines, "wrote").map(({ path, sha256 }) => [
    code(told(path)),
    sha256 === undefined ? "secret: not recorded, not even its hash" : aloud(told(sha256)),
  ]);
  return table("Written once and durably", ["File", "SHA-256"], rows);
}

function interruptions(lines: readonly TranscriptLine[]): string {
  const found = lines.filter(({ what }) => what === "resumed" || what === "discarded");
  if (found.length === 0) return "<p>There were none.</p>";
  const rows = found.map(({ at, what, detail }) => [
    at,
    what === "resumed"
      ? `taken up again after line ${told(detail["afterLine"])}`
      : `what was left half made of ${told(detail["path"])} was removed`,
  ]);
  return table("Each was taken up where it ended", ["When", "What"], rows);
}

const roles = ["Performed by", "Keeps the PIN of", "Keeps the PIN of", "Witness", "Witness"];

const signatures = `<section class="signatures"><h2>Present</h2>
<p>Whoever signs was there from the first step to the last, and has compared every value above.</p>
<table class="sign"><caption>Signatures</caption><thead><tr><th scope="col">Part</th><th scope="col">Name</th><th scope="col">Date</th><th scope="col">Signature</th></tr></thead>
<tbody>${roles.map((role) => `<tr><th scope="row">${role}</th><td></td><td></td><td></td></tr>`).join("\n")}</tbody></table></section>`;

function detailsOf(lines: readonly TranscriptLine[], what: string): readonly Detail[] {
  return lines.filter((line) => line.what === what).map(({ detail }) => detail);
}

function listOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** A word or a number as it is; what a line should not hold, in a way that shows. */
function told(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined ? "" : JSON.stringify(value);
}
