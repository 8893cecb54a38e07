/**
 * Pages as browsers get them: plain HTML of our own, one style sheet by its hash, no script, nothing from anywhere else. They work
 * without pictures, at 320 pixels, and with a screen reader (WCAG 2.2 AA).
 */
import { createHash } from "node:crypto";

/** A page and its header fields. */
export interface Page {
  readonly html: string;
  readonly headers: { readonly [name: string]: string };
}

/** Text as it stands in HTML. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** HTML from a template: what is put in is escaped unless it is HTML already. */
export function markup(parts: TemplateStringsArray, ...values: readonly (Html | string)[]): Html {
  const [first = "", ...rest] = parts;
  return new Html(
    rest.reduce((text, part, index) => `${text}${formatValue(values[index])}${part}`, first),
  );
}

function formatValue(value: Html | string = ""): string {
  if (value instanceof Html) return value.text;
  return value.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const style = `
:root{color-scheme:light;--ink:#1b1f24;--paper:#fff;--line:#6a737d;--act:#0b57a4;--warn:#8a1c12}
*{box-sizing:border-box}
body{margin:0;background:#eef1f4;color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
main{max-width:27rem;margin:2rem auto;padding:1.5rem;background:var(--paper);border:1px solid #c9d1d9;border-radius:.5rem;overflow-wrap:anywhere}
h1{font-size:1.4rem;line-height:1.25;margin:0 0 1rem}
h2{font-size:1rem;margin:0 0 .5rem}
label{display:block;font-weight:600;margin:1rem 0 .25rem}
.hint{display:block;font-weight:400;color:#424a53}
input{width:100%;min-height:2.75rem;padding:.5rem;font:inherit;color:inherit;background:#fff;border:1px solid var(--line);border-radius:.25rem}
input[aria-invalid=true]{border:2px solid var(--warn)}
button{width:100%;min-height:2.75rem;margin-top:1.25rem;padding:.5rem 1rem;font:inherit;font-weight:600;color:#fff;background:var(--act);border:2px solid var(--act);border-radius:.25rem;cursor:pointer}
button.second{color:var(--act);background:#fff}
a{color:var(--act)}
:focus-visible{outline:3px solid #d97706;outline-offset:2px}
.problem{margin:0 0 1rem;padding:.75rem 1rem;border:2px solid var(--warn);border-radius:.25rem}
.problem h2{color:var(--warn)}
.problem p{margin:0}
.demo{margin:0;padding:.5rem 1rem;background:var(--warn);color:#fff;text-align:center}
code,.code{font-family:ui-monospace,monospace}
.code{display:block;font-size:1.6rem;letter-spacing:.1em;margin:.5rem 0}
dl{margin:0}dt{font-weight:600;margin-top:.75rem}dd{margin:0}
@media (max-width:30rem){main{margin:0;border:0;border-radius:0;min-height:100vh}}
@media (prefers-reduced-motion:no-preference){button{transition:background .1s}}
`;
const styleHash = createHash("sha256").update(style).digest("base64");

/** What a page is made of. */
export interface Content {
  readonly title: string;
  readonly body: Html;
  /** Above everything: that accounts are not real. */
  readonly demo: boolean;
  /** Where its form may lead in the end besides here: browsers hold redirects after a form against this too. */
  readonly leadsTo?: string | undefined;
}

/** Makes a page. */
export function createPage({ title, body, demo, leadsTo }: Content): Page {
  const text = markup`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} · Chancery</title>
        ${new Html(`<style>${style}</style>`)}
      </head>
      <body>
        ${demo ? markup`<p class="demo" role="note"><strong>DEMO.</strong> Accounts here are not real. Trust nothing that they sign.</p>` : ""}
        <main>
          <h1>${title}</h1>
          ${body}
        </main>
      </body>
    </html>
`;
  const policy = [
    "default-src 'none'",
    `style-src 'sha256-${styleHash}'`,
    `form-action 'self'${leadsTo === undefined ? "" : ` ${leadsTo}`}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ];
  return {
    html: text.text,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": policy.join("; "),
      "cache-control": "no-store",
      // Not less: without a referrer browsers say `Origin: null` even of our own forms.
      "referrer-policy": "same-origin",
      "x-frame-options": "DENY",
      "x-content-type-options": "nosniff",
    },
  };
}
