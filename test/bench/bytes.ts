/**
 * How many bytes a log and its index store for an entry beyond the entry: `node test/bench/bytes.ts [--size N] [--at-once N] [--json]`.
 * Entries are real bodies with a certificate of their own size; they go through the log room's own loops into SQLite files, so many at
 * once, and then into a search index; what the closed files hold is counted, by table. Free pages count too.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { encodeBase64, encodeUtf8 } from "../../core/formats/encoding.ts";
import { fulcioExtensions } from "../../core/formats/fulcio-oids.ts";
import { formatPem } from "../../core/formats/pem.ts";
import { appendEntry } from "../../events/log.ts";
import type { LogConfig } from "../../plugins/log/manifest.ts";
import log from "../../plugins/log/plugin.ts";
import { Engine } from "../../plugins/search/engine.ts";
import { sqliteDriver } from "../../plugins/storage/sqlite.ts";
import { TestVault, vaultPlugin } from "../plugins/log-vault.ts";
import { bootForTest } from "../support/boot.ts";
import { boxKey, sigstoreBox } from "../support/sigstore-box.ts";

/** One row of the table. */
interface Case {
  readonly name: string;
  readonly format: LogConfig["format"];
  readonly extensions: number;
}

const cases: readonly Case[] = [
  { name: "v2, e-mail certificate", format: "rekor-v2", extensions: 0 },
  { name: "v2, all 24 extensions", format: "rekor-v2", extensions: 21 },
  { name: "v1 with its SET, e-mail certificate", format: "rekor-v1", extensions: 0 },
  { name: "v1 with its SET, all 24 extensions", format: "rekor-v1", extensions: 21 },
];
/** Certificates are costly; so many are made, and a body differs from the next one with the same by its digest. */
const certificates = 400;
const identities = 200;
const oidcIssuer = "https://idp.example.com";
const startedAt = new Date("2026-01-01T00:00:00Z");
/** Arcs that a certificate has besides those that every one has. */
const freeArcs = [2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

const { values } = parseArgs({
  options: {
    // So many that the pages of tables that hold nothing do not show.
    size: { type: "string", default: "32768" },
    "at-once": { type: "string", default: "64" },
    json: { type: "boolean", default: false },
  },
});
const size = Number(values.size);
const atOnce = Number(values["at-once"]);

/** DER of certificates, of which the bodies take turns. */
function certify(extensions: number): readonly Uint8Array[] {
  const box = sigstoreBox(startedAt);
  return Array.from({ length: certificates }, (_, index) => {
    const name = `user-${index % identities}@example.com`;
    const who = { san: { kind: "email" as const, value: name }, oidcIssuer, at: startedAt };
    const more = freeArcs.slice(0, extensions).map((arc) => ({
      arc,
      value: `https://git.example.com/${name}/${arc === 21 ? `runs/${index}` : arc}`,
    }));
    return box.certify(boxKey().spki, who, {
      leaf: (fields) => ({
        ...fields,
        fulcio: fulcioExtensions({ oidcIssuer, subject: name, extensions: more }),
      }),
    });
  });
}

function bodyOf(format: LogConfig["format"], certificate: Uint8Array): Uint8Array {
  const signature = encodeBase64(randomBytes(71));
  const digest = randomBytes(32);
  const body =
    format === "rekor-v1"
      ? {
          apiVersion: "0.0.1",
          kind: "hashedrekord",
          spec: {
            data: { hash: { algorithm: "sha256", value: digest.toString("hex") } },
            signature: {
              content: signature,
              publicKey: {
                content: encodeBase64(encodeUtf8(formatPem("CERTIFICATE", certificate))),
              },
            },
          },
        }
      : {
          apiVersion: "0.0.2",
          kind: "hashedrekord",
          spec: {
            hashedRekordV002: {
              data: { algorithm: "SHA2_256", digest: encodeBase64(digest) },
              signature: {
                content: signature,
                verifier: {
                  keyDetails: "PKIX_ECDSA_P256_SHA_256",
                  x509Certificate: { rawBytes: encodeBase64(certificate) },
                },
              },
            },
          },
        };
  return encodeUtf8(JSON.stringify(body));
}

/** Puts bodies into a log and an index in `folder`; the bytes of all bodies. */
async function fill(folder: string, { format, extensions }: Case): Promise<number> {
  const made = certify(extensions);
  await using storage = sqliteDriver({ directory: folder });
  await using installation = await bootForTest({
    entries: [vaultPlugin({ key: new TestVault() }), log],
    config: { hsm: {}, log: { logs: [{ name: "one", format, key: "key" }], reserveBytes: 0 } },
    storage,
  });
  using engine = new Engine(join(folder, "search.db"));
  engine.join("one", new Uint8Array(32));
  let bytes = 0;
  for (let from = 0; from < size; from += atOnce) {
    const bodies = Array.from({ length: Math.min(atOnce, size - from) }, (_, at) =>
      bodyOf(format, made[(from + at) % certificates] ?? new Uint8Array()),
    );
    const answers = await Promise.all(
      bodies.map(async (body) => {
        const entry = { kind: "body", body } as const;
        return await installation.ask(appendEntry, { log: "one", entry }, "rekor");
      }),
    );
    const entries = answers.map(({ index, integratedAtMs }, at) => {
      const entry = bodies[at] ?? new Uint8Array();
      bytes += entry.length;
      return { index, entry, subjects: new Uint8Array(), atMs: Number(integratedAtMs) };
    });
    const inOrder = entries.toSorted((a, b) => (a.index < b.index ? -1 : 1));
    engine.add("one", from, inOrder);
    engine.step();
  }
  while (engine.step());
  return bytes;
}

/** Bytes that each table takes in a file, and what is left over. */
function tablesOf(path: string): Readonly<{ [table: string]: number }> {
  using database = new DatabaseSync(path, { readOnly: true });
  const rows = database
    .prepare("SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name")
    .all();
  const tables = rows.map((row) => [String(row["name"]), Number(row["bytes"])] as const);
  const known = tables.reduce((sum, [, bytes]) => sum + bytes, 0);
  return { ...Object.fromEntries(tables), free: statSync(path).size - known };
}

async function measure(one: Case) {
  const folder = mkdtempSync(join(tmpdir(), "chancery-bench-bytes-"));
  try {
    const entries = await fill(folder, one);
    const perEntry = (bytes: number): number => Number((bytes / size).toFixed(1));
    const parts = ["log-one.db", "search.db"].flatMap((file) =>
      Object.entries(tablesOf(join(folder, file))).map(
        ([table, bytes]) => [`${file} ${table}`, bytes] as const,
      ),
    );
    const all = parts.reduce((sum, [, bytes]) => sum + bytes, 0);
    const beyond = parts.map(([name, bytes]): [string, number] =>
      name === "log-one.db table_entries"
        ? [`${name} beyond the entry`, bytes - entries]
        : [name, bytes],
    );
    return {
      case: one.name,
      entry: perEntry(entries),
      beyond: perEntry(all - entries),
      parts: Object.fromEntries(
        beyond
          .map(([name, bytes]) => [name, perEntry(bytes)] as const)
          .filter(([, bytes]) => bytes >= 0.5)
          .toSorted(([, a], [, b]) => b - a),
      ),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const one of cases) {
  // One after the other: each has the disk for itself.
  const { parts, ...row } = await measure(one);
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ size, atOnce, ...row, parts })}\n`);
    continue;
  }
  process.stdout.write(`${row.case}: entry ${row.entry} B, beyond it ${row.beyond} B\n`);
  for (const [name, bytes] of Object.entries(parts)) {
    process.stdout.write(`    ${String(bytes).padStart(8)}  ${name}\n`);
  }
}
