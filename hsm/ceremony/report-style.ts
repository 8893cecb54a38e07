/** How the record of a ceremony looks, on a screen and on paper. Nothing is fetched: fonts are the system's, and there are no pictures. */
export const reportStyle = `
  :root { color-scheme: light; --ink: #1b2127; --quiet: #4d5863; --line: #c9d1d9; --soft: #f3f5f7 }
  * { box-sizing: border-box }
  body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; max-width: 66rem; margin: 2.5rem auto; padding: 0 1.5rem }
  h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .3rem }
  h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; padding-bottom: .2rem; border-bottom: 2px solid var(--ink) }
  h3 { font-size: 1rem; margin: 0 }
  p { margin: .4rem 0 }
  .quiet { color: var(--quiet) }
  .verdict, .warning { padding: .7rem 1rem; margin: 1rem 0; border: 1px solid; border-left-width: 6px }
  .verdict { background: #eaf5ee; border-color: #1a7f43 }
  .warning { background: #fdf4de; border-color: #9a6200 }
  table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; font-size: 14px }
  caption { text-align: left; color: var(--quiet); padding: .2rem 0 }
  th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem .4rem; border-top: 1px solid var(--line) }
  thead th { border-top: 0; border-bottom: 1px solid var(--ink); background: var(--soft) }
  tbody th { font-weight: 600 }
  tbody.facts th { width: 14rem }
  code { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere }
  code.aloud { font-size: 14px; white-space: nowrap; word-spacing: .1em }
  .whole { white-space: nowrap }
  td.tick { width: 5.5rem; white-space: nowrap }
  .box { display: inline-block; width: 1.1em; height: 1.1em; border: 1.5px solid var(--ink); vertical-align: -.2em }
  ol.steps { list-style: none; margin: 0; padding: 0 }
  ol.steps > li { border-top: 1px solid var(--line); padding: .9rem 0 .3rem }
  .step { display: flex; gap: .8rem; align-items: baseline }
  .step .number { color: var(--quiet); min-width: 1.8rem; text-align: right }
  .step time { margin-left: auto; color: var(--quiet); white-space: nowrap; font-size: 13px }
  .promises { margin: .2rem 0 .3rem 2.6rem; padding: 0; list-style: none; color: var(--quiet); font-size: 13px }
  .lines { margin-left: 2.6rem; width: calc(100% - 2.6rem); font-size: 13px }
  .lines th { width: 9rem; font-weight: 400; color: var(--quiet) }
  .lines .name { color: var(--quiet) }
  .sign td { height: 3.2rem; border-bottom: 1px solid var(--ink) }
  @page { margin: 18mm 16mm }
  @media print {
    body { margin: 0; max-width: none; padding: 0; font-size: 11px }
    table, code, code.aloud, .lines, .promises { font-size: 10px }
    h2 { break-after: avoid }
    tr, .verdict, .warning, .step { break-inside: avoid }
    .step { break-after: avoid }
    thead { display: table-header-group }
    .signatures { break-before: page }
  }
`;
