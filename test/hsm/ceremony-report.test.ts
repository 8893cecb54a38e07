/** The record of a ceremony: everything that those present need, in a page that fetches nothing and that a machine can read aloud. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCeremony } from "../../hsm/ceremony/run.ts";
import { formatReport, verifyTranscript } from "../../hsm/commands.ts";
import { ceremonyHome, type CeremonyHome, killed } from "../support/ceremony.ts";

const second = `
ceremony: second
version: 1
transcriptKey: transcript
parameters: [organization]
steps:
  - { step: openToken, token: offline, label: small-offline, pinFile: secrets/offline-pin }
  - { step: useKey, token: offline, label: transcript, algorithm: ecdsa-p256, publicKeySha256: HASH }
  - { step: generateKey, token: offline, label: another, algorithm: ecdsa-p256 }
  - { step: publishKey, key: another, out: "trust/\${organization}.pub" }
`;

let at: CeremonyHome;
const verified = (name: string) => verifyTranscript(at.read(`ceremony/${name}.jsonl`));
const report = (name: string) => formatReport(verified(name));

beforeAll(async () => {
  at = ceremonyHome();
  await runCeremony(at.request, "rehearse");
  // Killed in its third step, so that there is an interruption to tell of.
  expect(await killed(at.request, { transition: 7 })).toBeNull();
  await runCeremony(at.request, "perform");
  const key = verified("small.transcript").lines.find(({ what }) => what === "key");
  const request = at.script(second.replace("HASH", String(key?.detail["publicKeySha256"])));
  await runCeremony(request, "rehearse");
  await runCeremony(request, "perform");
});
afterAll(() => at[Symbol.dispose]());

/** Text without marks, one space between words. */
const words = (html: string) =>
  html.replaceAll(/<style>.*?<\/style>|<[^>]*>/gs, " ").replaceAll(/\s+/g, " ");
/** A part of the page by its heading. */
const part = (html: string, heading: string) =>
  new RegExp(`<h2>${heading}</h2>(.*?)</section>`, "s").exec(html)?.[1] ?? "";
const rowsOf = (html: string) =>
  [...html.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row = ""]) => words(row).trim());
const grouped = (hex: unknown) => (String(hex).match(/.{4}/g) ?? []).join(" ");

describe.for(["small.transcript", "second.transcript", "small.rehearsal"])("%s", (name) => {
  test("is one whole page", () => {
    const html = report(name);
    expect(html).toMatch(/^<!doctype html>\n<html lang="en"><head><meta charset="utf-8">/);
    const open: string[] = [];
    for (const [, close, tag = "", self] of html.matchAll(
      /<(\/?)([a-z][a-z0-9]*)(?:\s[^>]*?)?(\/?)>/g,
    )) {
      if (["meta", "br"].includes(tag) || self === "/") continue;
      if (close === "") open.push(tag);
      else expect(open.pop()).toBe(tag);
    }
    expect(open).toEqual([]);
  });

  test("fetches nothing and runs nothing", () => {
    const html = report(name);
    expect(html).toContain("Content-Security-Policy\" content=\"default-src 'none';");
    expect(html).not.toMatch(/<(?:script|link|img|iframe|object|embed|form|base)\b/);
    expect(html).not.toMatch(/\s(?:src|href|srcset|action|on[a-z]+)=/);
    expect(html).not.toMatch(/url\(|@import|@font-face/);
  });

  test("can be read aloud by a machine: headings in order, tables with captions and scopes", () => {
    const html = report(name);
    const levels = [...html.matchAll(/<h([1-6])>/g)].map(([, level]) => Number(level));
    expect(levels[0]).toBe(1);
    expect(levels.filter((level) => level === 1)).toHaveLength(1);
    for (const [at, level] of levels.entries()) {
      expect(level - (levels[at - 1] ?? 0)).toBeLessThanOrEqual(1);
    }
    for (const [, attributes = "", table = ""] of html.matchAll(/<table([^>]*)>(.*?)<\/table>/gs)) {
      if (!attributes.includes("lines")) expect(table).toMatch(/^<caption>[^<]+<\/caption>/);
      for (const [, scope] of table.matchAll(/<th\b([^>]*)>/g))
        expect(scope).toMatch(/scope="(?:row|col)"/);
      for (const [, heading = ""] of table.matchAll(/<th scope="col">(.*?)<\/th>/g))
        expect(heading).not.toBe("");
    }
    expect(html).toMatch(/<html lang="en">/);
    expect(html).toContain("<main>");
    expect(html).toContain('aria-label="to be ticked"');
  });
});

test("names what is to be compared, in groups of four and with what", () => {
  const { lines, headSha256, transcriptKeySha256 } = verified("small.transcript");
  const rows = rowsOf(part(report("small.transcript"), "To be compared aloud"));
  const detail = (what: string) => lines.find((line) => line.what === what)?.detail ?? {};
  for (const [name, value, against] of [
    ["Script", lines[0]?.detail["scriptSha256"], "as it was reviewed"],
    ["Rehearsal", lines[0]?.detail["rehearsalSha256"], "record of the rehearsal"],
    ["Token small-offline", detail("token")["serial"], "engraved"],
    ["Certificate of root-ca", detail("certificate")["sha256"], "published"],
    ["Sealing key", transcriptKeySha256, "transcript key"],
    ["This transcript", headSha256, "notes down"],
  ] as const) {
    const row = rows.find((one) => one.startsWith(name)) ?? "";
    expect(row).toContain(grouped(value));
    expect(row).toContain(against);
  }
});

test("shows each object before and after, each key, certificate and file", () => {
  const first = report("small.transcript");
  const objects = rowsOf(part(first, "Tokens")).filter((row) => row.includes(" key "));
  expect(objects).toHaveLength(4);
  expect(objects.every((row) => row.endsWith("not there there made"))).toBe(true);
  const then = rowsOf(part(report("second.transcript"), "Tokens")).filter((row) =>
    row.includes(" key "),
  );
  expect(then.filter((row) => row.endsWith("there there unchanged"))).toHaveLength(4);
  expect(then.filter((row) => /another .* not there there made$/.test(row))).toHaveLength(2);
  expect(rowsOf(part(first, "Keys")).join()).toMatch(/root-ca made offline ecdsa-p384/);
  expect(rowsOf(part(report("second.transcript"), "Keys")).join()).toMatch(
    /transcript found offline/,
  );
  expect(rowsOf(part(first, "Certificates")).join()).toMatch(
    /CN=Test root root root-ca itself .*openssl/,
  );
  const files = rowsOf(part(first, "Files")).join();
  expect(files).toContain("secrets/offline-pin secret: not recorded");
  expect(files).toContain("trust/root.pem");
});

test("tells of interruptions, of rehearsals, and of every step by what it did", () => {
  expect(words(part(report("small.transcript"), "Interruptions"))).toMatch(
    /taken up again after line \d+/,
  );
  expect(words(part(report("second.transcript"), "Interruptions"))).toContain("There were none.");
  expect(report("small.rehearsal")).toContain("This was a rehearsal");
  expect(report("small.transcript")).not.toContain("This was a rehearsal");
  const steps = part(report("small.transcript"), "Every step");
  const titles = [...steps.matchAll(/<h3>(.*?)<\/h3>/g)].map(([, title]) => title);
  expect(titles).toEqual([
    "Initialise the token small-offline",
    "Generate transcript (ecdsa-p256) on the offline token",
    "Generate root-ca (ecdsa-p384) on the offline token",
    "Certify root-ca",
    "Write the public half of transcript to trust/transcript.pub",
    "Opening, interruptions and close",
  ]);
  expect(steps.match(/Before: /g)).toHaveLength(5);
});

test("holds no PIN, and no mark that a parameter brought along", async () => {
  const pin = readFileSync(join(at.home, "secrets/offline-pin"), "utf8").trim();
  expect(report("small.transcript")).not.toContain(pin);
  using evil = ceremonyHome();
  const organization = '<img src="x" onerror=1>&\'"';
  await runCeremony({ ...evil.request, parameters: { organization } }, "rehearse");
  const html = formatReport(verifyTranscript(evil.read("ceremony/small.rehearsal.jsonl")));
  expect(html).not.toContain("<img");
  expect(html).toContain("&lt;img src=&quot;x&quot; onerror=1&gt;&amp;");
});
