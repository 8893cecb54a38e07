/**
 * Figures of the search index alone: `node test/bench/search.ts [--size N] [--identities N] [--kind email|pipeline] [--json]`. Generated
 * entries of Rekor v2 are put into an index by its own functions; then the file is measured, and first pages by digest and identity,
 * and all pages of one identity. What would be read of an entry is generated; how long reading takes is measured beside
 * it.
 */
import { hash, randomInt } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { encodeBase64, encodeUtf8 } from "../../core/formats/encoding.ts";
import type { Described } from "../../plugins/search/describe.ts";
import { describeEntry } from "../../plugins/search/describe.ts";
import { Engine } from "../../plugins/search/engine.ts";
import type { Bounds } from "../../plugins/search/evaluate.ts";
import { readConditions } from "../../plugins/search/filter.ts";
import { indexedBy } from "../../plugins/search/indexed.ts";
import { boxKey, sigstoreBox } from "../support/sigstore-box.ts";
import { describeMachine } from "./machine.ts";

const log = "rekor-v2";
const start = Date.UTC(2026, 0, 1);
const batch = 256;
const asked = 2_000;
/** Of one in a hundred entries: at ten million, the hundred thousand hits that are paged. */
const often = "release@example.com";

const { values } = parseArgs({
  options: {
    size: { type: "string", default: "1000000" },
    identities: { type: "string", default: "100000" },
    kind: { type: "string", default: "email" },
    json: { type: "boolean", default: false },
  },
});
const size = Number(values.size);
const identities = Number(values.identities);

const sha = (text: string): string => hash("sha256", text, "hex");
const nameOf = (index: number): string =>
  index % 100 === 0
    ? often
    : `user-${Number(`0x${sha(`who ${index}`).slice(0, 8)}`) % identities}@example.com`;
const digestOf = (index: number): string => sha(`artifact ${index}`);

/** What an entry says. A pipeline's certificate has all extensions, of which those of commit and run are its own. */
function described(index: number): Described {
  const name = nameOf(index);
  const issuer = "https://idp.example.com";
  const repository = `https://git.example.com/${name}`;
  const commit = sha(`commit ${index}`).slice(0, 40);
  const extensions =
    values.kind === "email"
      ? { "1": issuer, "8": issuer, "24": name }
      : {
          ...Object.fromEntries([1, 8].map((arc) => [arc, issuer])),
          ...Object.fromEntries([2, 4, 6, 11, 14, 20, 22, 23].map((arc) => [arc, `value-${arc}`])),
          ...Object.fromEntries([3, 10, 13, 19].map((arc) => [arc, commit])),
          ...Object.fromEntries(
            [5, 9, 12, 15, 16, 17, 18, 24].map((arc) => [arc, `${repository}/${arc}`]),
          ),
          "21": `${repository}/runs/${index}`,
        };
  return {
    kind: "hashedrekord 0.0.2",
    digests: [{ of: "artifact", algorithm: "sha256", value: digestOf(index) }],
    signers: [
      {
        key: sha(`key ${index}`),
        certificate: sha(`certificate ${index}`),
        sans: [{ kind: "email", value: name }],
        extensions,
      },
    ],
  };
}

/** Microseconds that reading one entry takes from its bytes, of a certificate as the authority makes it. */
function readMicros(): number {
  const box = sigstoreBox(new Date(start));
  const entries = Array.from({ length: 500 }, (_, index) => {
    const who = {
      san: { kind: "email" as const, value: nameOf(index) },
      oidcIssuer: "https://idp.example.com",
      at: new Date(start),
    };
    const rawBytes = encodeBase64(box.certify(boxKey().spki, who));
    const verifier = { keyDetails: "PKIX_ECDSA_P256_SHA_256", x509Certificate: { rawBytes } };
    const data = {
      algorithm: "SHA2_256",
      digest: encodeBase64(Uint8Array.fromHex(digestOf(index))),
    };
    const spec = {
      hashedRekordV002: {
        data,
        signature: { content: encodeBase64(new Uint8Array(71)), verifier },
      },
    };
    return encodeUtf8(JSON.stringify({ apiVersion: "0.0.2", kind: "hashedrekord", spec }));
  });
  const read = (): number => {
    const began = performance.now();
    for (const entry of entries) indexedBy(describeEntry(entry), start);
    return ((performance.now() - began) * 1_000) / entries.length;
  };
  return Math.min(...Array.from({ length: 5 }, read));
}

function build(engine: Engine): { seconds: number; slowestMs: number } {
  engine.join(log, new Uint8Array(32));
  const began = performance.now();
  let slowestMs = 0;
  for (let from = 0; from < size; from += batch) {
    const entries = Array.from({ length: Math.min(batch, size - from) }, (_, at) =>
      indexedBy(described(from + at), start + Math.floor((from + at) / 500) * 1_000),
    );
    const stepBegan = performance.now();
    engine.addIndexed(log, entries, new Uint8Array(32));
    engine.step();
    slowestMs = Math.max(slowestMs, performance.now() - stepBegan);
  }
  while (engine.step());
  return { seconds: (performance.now() - began) / 1_000, slowestMs };
}

/** Milliseconds of first pages, over entries drawn at random. */
function firstPages(
  engine: Engine,
  condition: (index: number) => { field: string; value: string },
) {
  const times: number[] = [];
  for (let n = 0; n < asked; n++) {
    const one = condition(randomInt(size));
    const began = performance.now();
    const { places } = engine.find(
      { wanted: readConditions([one]) },
      { newestFirst: true, limit: 20 },
    );
    times.push(performance.now() - began);
    if (places.length === 0) throw new Error(`nothing found by ${one.field}=${one.value}`);
  }
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    Number((sorted[Math.floor(asked * share)] ?? NaN).toFixed(3));
  return { p50: at(0.5), p99: at(0.99) };
}

function allPages(engine: Engine) {
  const search = { wanted: readConditions([{ field: "san", value: often }]) };
  const began = performance.now();
  let hits = 0;
  let pages = 0;
  for (let bounds: Bounds | undefined; ; pages++) {
    const page = engine.find(search, { newestFirst: true, limit: 100, bounds });
    hits += page.places.length;
    if (page.next === null) break;
    bounds = page.next;
  }
  if (hits !== Math.ceil(size / 100)) throw new Error(`${hits} hits`);
  return { hits, pages, seconds: Number(((performance.now() - began) / 1_000).toFixed(2)) };
}

function timed<T>(work: () => T): { ms: number; value: T } {
  const began = performance.now();
  const value = work();
  return { ms: Number((performance.now() - began).toFixed(1)), value };
}

const folder = mkdtempSync(join(tmpdir(), "chancery-bench-search-"));
try {
  const path = join(folder, "search.db");
  const figures = (() => {
    using engine = new Engine(path);
    const built = build(engine);
    return {
      size,
      identities,
      kind: values.kind,
      buildSeconds: Number(built.seconds.toFixed(1)),
      microsecondsPerEntry: Number(((built.seconds * 1e6) / size).toFixed(1)),
      slowestStepMs: Number(built.slowestMs.toFixed(1)),
      readMicrosecondsPerEntry: Number(readMicros().toFixed(1)),
      digestMs: firstPages(engine, (index) => ({ field: "digest", value: digestOf(index) })),
      keyMs: firstPages(engine, (index) => ({ field: "key", value: sha(`key ${index}`) })),
      identityMs: firstPages(engine, (index) => ({ field: "san", value: nameOf(index) })),
      paged: allPages(engine),
      countMs: timed(() =>
        engine.count({ wanted: readConditions([{ field: "san", value: often }]) }, ["issuer"]),
      ).ms,
      residentMiB: Math.round(process.memoryUsage().rss / 2 ** 20),
    };
  })();
  const bytesPerEntry = Number((statSync(path).size / size).toFixed(1));
  const reopened = timed(() => {
    using engine = new Engine(path);
    return engine.extents().map((one) => one.size);
  });
  if (reopened.value[0] !== size)
    throw new Error("the index does not hold as many entries as were put in");
  const all = { ...figures, bytesPerEntry, openMs: reopened.ms };
  if (values.json)
    process.stdout.write(`${JSON.stringify({ machine: describeMachine(folder), ...all })}\n`);
  else
    for (const [name, value] of Object.entries(all))
      process.stdout.write(`${name.padEnd(26)} ${JSON.stringify(value)}\n`);
} finally {
  rmSync(folder, { recursive: true });
}
