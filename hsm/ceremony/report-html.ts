/** The few pieces of HTML of which records are made. Whatever stands in a transcript is escaped here and nowhere else. */

/** HTML that was made here. */
export interface Html {
  readonly html: string;
}

/** What may stand in a cell. */
export type Cell = string | Html;

/** Text, escaped. */
export function escape(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** Letters of one width, for what is compared. */
export function code(text: string): Html {
  return { html: `<code>${escape(text)}</code>` };
}

/** Hexadecimal in groups of four, eight a line, to be read aloud. */
export function aloud(hex: string): Html {
  const lines = hex.match(/.{1,32}/g) ?? [];
  const grouped = lines.map((line) => escape(line.match(/.{1,4}/g)?.join(" ") ?? ""));
  return { html: `<code class="aloud">${grouped.join("<br>")}</code>` };
}

/** What is not to be broken into two lines. */
export function whole(text: string): Html {
  return { html: `<span class="whole">${escape(text)}</span>` };
}

/** A box to tick, and the word for who cannot see it. */
export const box: Html = { html: '<span class="box" role="img" aria-label="to be ticked"></span>' };

function show(cell: Cell): string {
  return typeof cell === "string" ? escape(cell) : cell.html;
}

/** A table with a line of headings; nothing if there are no rows. */
export function table(
  caption: string,
  columns: readonly string[],
  rows: readonly (readonly Cell[])[],
): string {
  if (rows.length === 0) return "";
  const head = columns.map((column) => `<th scope="col">${escape(column)}</th>`).join("");
  const body = rows.map(([first = "", ...rest]) => {
    const cells = rest.map((cell) => `<td>${show(cell)}</td>`).join("");
    return `<tr><th scope="row">${show(first)}</th>${cells}</tr>`;
  });
  return `<table><caption>${escape(caption)}</caption><thead><tr>${head}</tr></thead>
<tbody>${body.join("\n")}</tbody></table>`;
}

/** A table of one fact a line. */
export function facts(caption: string, rows: readonly (readonly [string, Cell])[]): string {
  const body = rows.map(
    ([name, value]) => `<tr><th scope="row">${escape(name)}</th><td>${show(value)}</td></tr>`,
  );
  return `<table><caption>${escape(caption)}</caption><tbody class="facts">${body.join("\n")}</tbody></table>`;
}

/** A part of the record; nothing if it is empty. */
export function part(title: string, ...content: readonly string[]): string {
  const whole = content.filter((one) => one !== "").join("\n");
  return whole === "" ? "" : `<section><h2>${escape(title)}</h2>\n${whole}</section>`;
}
