/** Search through the door: what is asked, what is found, what is proven, and what happens to an index that is lost or wrong. */
import { mkdtempSync, rmSync } from "node:fs";
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as v from "valibot";
import { sha256 } from "../../core/crypto/hash.ts";
import { encodeBase64, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { leafHash, verifyInclusion } from "../../core/formats/merkle.ts";
import { formatPem } from "../../core/formats/pem.ts";
import { searchResponse } from "../../plugins/http/search-schema.ts";
import { compareSizes, fsckSearch } from "../../plugins/search/commands.ts";
import { describeEntry } from "../../plugins/search/describe.ts";
import { at, certify, ctLeaf, hashedRekord, hashedRekordV2 } from "./audit-house.ts";
import { bootSearch, Logs, type Page } from "./search-house.ts";

const digest = new Uint8Array(32).fill(7);
const other = new Uint8Array(32).fill(8);
const alice = certify("alice@example.com");
const bob = certify("Bob@Example.com");
const later = new Date(at.getTime() + 60_000);
const fingerprint = (bytes: Uint8Array): string => encodeHex(sha256(bytes));
const pem = (label: string, der: Uint8Array) => encodeBase64(encodeUtf8(formatPem(label, der)));

/** What alice and bob have signed. */
function someLogs(): Logs {
  const logs = new Logs();
  logs.append("ct", at, ctLeaf(alice));
  logs.append("rekor", at, hashedRekord(alice.der, digest));
  logs.append("rekor-v2", at, hashedRekordV2(alice.der, digest));
  logs.append("ct", later, ctLeaf(bob, "certificate"));
  logs.append("rekor", later, hashedRekord(bob.der, other));
  logs.append("rekor", later, hashedRekord(bob.key.spki, digest, "PUBLIC KEY"));
  logs.append("rekor-v2", later, encodeUtf8('{"nonsense":[1]}'));
  return logs;
}

const logs = someLogs();
const folder = mkdtempSync(join(tmpdir(), "chancery-search-room-"));
let house: Awaited<ReturnType<typeof bootSearch>>;
beforeAll(async () => {
  house = await bootSearch(logs);
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const placesIn = ({ hits }: Page) => hits.map(({ log, index }) => `${log} ${index}`);
const encoded = (value: string) => encodeURIComponent(value);

test.for([
  [
    "a digest",
    `digest=sha256:${encodeHex(digest)}&order=oldest`,
    ["rekor 0", "rekor-v2 0", "rekor 2"],
  ],
  ["a digest without its algorithm", `digest=${encodeHex(other)}`, ["rekor 1"]],
  ["a key", `key=${fingerprint(alice.key.spki)}`, ["ct 0", "rekor 0", "rekor-v2 0"]],
  [
    "a key alone or in a certificate",
    `key=${fingerprint(bob.key.spki)}`,
    ["ct 1", "rekor 2", "rekor 1"],
  ],
  ["a certificate", `certificate=${fingerprint(bob.der)}`, ["ct 1", "rekor 1"]],
  ["a name in any case", "san=BOB@example.COM", ["ct 1", "rekor 1"]],
  ["an address with a wildcard", "email=*@example.com&log=rekor", ["rekor 1", "rekor 0"]],
  ["an issuer", `issuer=${encoded("https://idp.example")}&log=ct`, ["ct 1", "ct 0"]],
  ["an extension", `extension.8=${encoded("https://idp.*")}&log=rekor-v2`, ["rekor-v2 0"]],
  ["a kind", "kind=precertificate", ["ct 0"]],
  ["a kind that cannot be read", "kind=unknown+unknown", ["rekor-v2 1"]],
  ["a time", `since=${later.toISOString()}&kind=hashedrekord*`, ["rekor 2", "rekor 1"]],
  ["a time before", `until=${later.toISOString()}&log=ct`, ["ct 0"]],
  ["two things at once", `san=alice*&digest=${encodeHex(digest)}&log=rekor`, ["rekor 0"]],
  ["two things that are never together", `san=alice*&digest=${encodeHex(other)}`, []],
] as const)("finds by %s", async ([, query, places]) => {
  const { status, page } = await house.get(query);
  expect([status, placesIn(page)]).toEqual([200, places]);
  v.assert(searchResponse, page);
});

test.for([
  "digest=xyz",
  "digest=",
  "key=ab",
  `key=${"a".repeat(63)}*`,
  "extension.3=abc*",
  "extension.7=x",
  "extension.25=x",
  "color=red",
  "limit=101",
  "limit=-1",
  "order=sideways",
  "proof=yes",
  "since=yesterday",
  "since=2026-02-31",
  "facets=digest",
  "facets=color",
  "cursor=abc",
  "log=REKOR",
  "san=a&san=b",
  `san=${"x".repeat(1_025)}`,
])("refuses %s", async (query) => {
  const { status, text } = await house.get(query);
  expect(status).toBe(400);
  expect(JSON.parse(text)).toMatchObject({ code: 400 });
});

test("says that there is no such log", async () => {
  expect((await house.get("log=nobody")).status).toBe(404);
});

test("proves what it finds, and says how far the index goes", async () => {
  const { page } = await house.get("proof=true&order=oldest");
  expect(page.logs).toEqual([
    { log: "ct", indexed: 2, size: 2 },
    { log: "rekor", indexed: 3, size: 3 },
    { log: "rekor-v2", indexed: 2, size: 2 },
  ]);
  expect(page.hits).toHaveLength(7);
  for (const { log, index, leafHash: leaf, inclusionProof = [], logIndex, entryId } of page.hits) {
    const head = logs.head(log);
    const proof = inclusionProof.map((hash) => Uint8Array.fromHex(hash));
    const claim = { leafHash: Uint8Array.fromHex(leaf), index: BigInt(index), proof };
    expect(verifyInclusion({ ...claim, size: head.size, root: head.root })).toBe(true);
    expect(page.heads.find((one) => one.log === log)?.rootHash).toBe(encodeHex(head.root));
    expect(logIndex).toBe(log === "rekor" ? 100 + index : index);
    expect(entryId).toBe(log === "rekor" ? `${"0".repeat(14)}ff${leaf}` : undefined);
  }
});

test("counts what there is", async () => {
  const { page } = await house.get("facets=san,kind,issuer&log=rekor&limit=0");
  expect(page.counted).toEqual({
    total: 3,
    exact: true,
    facets: {
      san: [
        { value: "Bob@Example.com", count: 1 },
        { value: "alice@example.com", count: 1 },
      ],
      kind: [{ value: "hashedrekord 0.0.1", count: 3 }],
      issuer: [{ value: "https://idp.example", count: 2 }],
    },
  });
});

const idOf = (entry: Uint8Array): string => `${"0".repeat(14)}ff${encodeHex(leafHash(entry))}`;
const [first, second, third] = logs.entries.rekor.map(({ entry }) => idOf(entry));

test.for([
  ["a hash", { hash: `sha256:${encodeHex(digest)}` }, [third, first]],
  ["a bare hash in capitals", { hash: encodeHex(other).toUpperCase() }, [second]],
  ["an address in another case", { email: "ALICE@example.com" }, [first]],
  ["a part of an address, which is none", { email: "lice@example.com" }, []],
  ["a subject in another case", { subject: "bob@EXAMPLE.com" }, [second]],
  [
    "a certificate",
    { publicKey: { format: "x509", content: pem("CERTIFICATE", bob.der) } },
    [second],
  ],
  ["a key", { publicKey: { format: "x509", content: pem("PUBLIC KEY", bob.key.spki) } }, [third]],
  [
    "a key that came in certificates only",
    { publicKey: { format: "x509", content: pem("PUBLIC KEY", alice.key.spki) } },
    [],
  ],
  ["one or the other", { email: "alice@example.com", hash: encodeHex(other) }, [first, second]],
  ["both", { email: "alice@example.com", hash: encodeHex(digest), operator: "and" }, [first]],
  [
    "both, never together",
    { email: "alice@example.com", hash: encodeHex(other), operator: "and" },
    [],
  ],
  ["nothing", {}, []],
  ["nulls and what nobody knows", { email: null, publicKey: null, color: "red" }, []],
] as const)("retrieves by %s", async ([, body, ids]) => {
  expect(await house.post(body)).toEqual({ status: 200, body: ids });
});

test.for([
  ["an address of a key", { publicKey: { format: "x509", url: "http://127.0.0.1:1/" } }],
  [
    "both forms of a key",
    { publicKey: { format: "x509", content: "AA==", url: "http://127.0.0.1:1/" } },
  ],
  ["a key of another format", { publicKey: { format: "pgp", content: "AA==" } }],
  ["what is not PEM", { publicKey: { format: "x509", content: "AA==" } }],
  ["a private key", { publicKey: { format: "x509", content: pem("PRIVATE KEY", digest) } }],
  ["a short hash", { hash: "sha256:ab" }],
  ["a hash of the wrong length", { hash: `sha1:${encodeHex(digest)}` }],
  ["a wildcard", { email: "*@example.com" }],
  ["a wildcard as subject", { subject: "*" }],
  ["another operator", { operator: "xor" }],
  ["a number", { hash: 7 }],
  ["a list", { email: ["alice@example.com"] }],
])("does not retrieve by %s", async ([, body]) => {
  expect(await house.post(body as object)).toMatchObject({ status: 400, body: { code: 400 } });
});

test("a page is never longer than 100 kB, and pages together are everything", async () => {
  const long = new Logs();
  const many = Array.from({ length: 300 }, (_, at) => new Uint8Array(32).fill(at % 256, at >> 8));
  long.append("rekor", at, ...many.map((one) => hashedRekord(alice.der, one)));
  await using big = await bootSearch(long);
  const seen: string[] = [];
  for (let cursor = ""; ;) {
    const { text, page } = await big.get(`san=alice*&limit=100${cursor}`);
    expect(text.length).toBeLessThanOrEqual(100_000);
    expect(page.hits.length).toBeGreaterThan(0);
    seen.push(...placesIn(page));
    if (page.cursor === undefined) break;
    cursor = `&cursor=${page.cursor}`;
    // Whatever is logged meanwhile is not on later pages.
    long.append("rekor", later, hashedRekord(alice.der, digest));
    await big.followed();
  }
  expect(seen).toEqual(many.map((_, index) => `rekor ${many.length - 1 - index}`));
  const cursors = await big.get("san=alice*&limit=1");
  expect((await big.get(`san=bob*&limit=1&cursor=${cursors.page.cursor ?? ""}`)).status).toBe(400);
});

test("goes on from a kept index, makes a damaged one anew, and one of another log", async () => {
  const kept = join(folder, "search.db");
  {
    await using before = await bootSearch(someLogs());
    const { page } = await before.get("san=alice*");
    expect(page.hits).toHaveLength(3);
    // Beside whoever writes it, as fsck does.
    const report = fsckSearch(join(before.door.home, "index", "search.db"));
    expect(report.findings).toEqual([]);
    expect(report.indexed.get("rekor")).toBe(3n);
    expect(compareSizes(report, new Map([["rekor", 2n]]))).toHaveLength(3);
    const source = new DatabaseSync(join(before.door.home, "index", "search.db"));
    source.exec(`VACUUM INTO '${kept}'`);
    source.close();
  }
  const place = async (home: string): Promise<void> => {
    await mkdir(join(home, "index"));
    await copyFile(kept, join(home, "index", "search.db"));
  };
  const renewed = ({ door }: Awaited<ReturnType<typeof bootSearch>>) =>
    door.journal.filter(({ event }) => event === "search-index-made-anew").length;
  const grown = someLogs();
  grown.append("rekor", later, hashedRekord(alice.der, other));
  {
    await using same = await bootSearch(grown, place);
    expect(renewed(same)).toBe(0);
    expect(placesIn((await same.get("san=alice*&log=rekor")).page)).toEqual(["rekor 3", "rekor 0"]);
  }
  const forked = new Logs();
  forked.append(
    "rekor",
    at,
    ...[1, 2, 3].map((n) => hashedRekord(bob.der, digest.slice().fill(n))),
  );
  {
    await using another = await bootSearch(forked, place);
    expect(renewed(another)).toBe(1);
    expect((await another.get("san=alice*")).page.hits).toEqual([]);
    expect((await another.get("san=bob*")).page.hits).toHaveLength(3);
  }
  await writeFile(kept, "garbage".repeat(3_000));
  expect(fsckSearch(kept).findings).toMatchObject([{ severity: "warning" }]);
  await using repaired = await bootSearch(someLogs(), place);
  expect(renewed(repaired)).toBe(1);
  expect((await repaired.get("san=alice*")).page.hits).toHaveLength(3);
});

test("an index that cannot be written keeps nobody from anything but searching", async () => {
  // A folder stands where the file should be.
  const place = async (home: string): Promise<void> =>
    void (await mkdir(join(home, "index", "search.db"), { recursive: true }));
  await using broken = await bootSearch(someLogs(), place, false);
  const { status, text } = await broken.get("san=*");
  expect([status, text]).toEqual([
    503,
    '{"code":503,"message":"the index is not available just now, try again later"}',
  ]);
  expect(await broken.post({ email: "alice@example.com" })).toMatchObject({ status: 503 });
  expect((await fetch(`${broken.door.origin}/readyz`)).status).toBe(200);
  await rm(join(broken.door.home, "index", "search.db"), { recursive: true });
  await broken.followed();
  expect((await broken.get("san=alice*")).page.hits).toHaveLength(3);
});

test.for([
  ["nothing", ""],
  ["a null", "null"],
  ["an unfinished object", '{"kind":'],
  ["a spec of another kind", '{"kind":"x","apiVersion":"1","spec":[]}'],
  [
    "numbers where texts are",
    '{"kind":1,"apiVersion":2,"spec":{"signature":{"publicKey":{"content":3}}}}',
  ],
  [
    "a certificate that is none",
    `{"kind":"x","apiVersion":"1","spec":{"publicKey":"${pem("CERTIFICATE", digest)}"}}`,
  ],
] as const)("describes %s as far as it can", ([, entry]) => {
  expect(() => describeEntry(encodeUtf8(entry))).not.toThrow();
});

test("finds an attestation by the digest of its subject", async () => {
  const attested = new Uint8Array(32).fill(9);
  const own = new Logs();
  own.append("rekor", at, encodeUtf8('{"apiVersion":"0.0.1","kind":"dsse","spec":{}}'));
  own.append("ct", at, ctLeaf(alice));
  // Beside a certificate is its chain.
  for (const [row] of [own.entries.rekor, own.entries.ct]) {
    Object.assign(row ?? {}, { extraData: attested });
  }
  await using small = await bootSearch(own);
  const { page } = await small.get(`digest=${encodeHex(attested)}`);
  expect(page.hits.map(({ log, kind }) => [log, kind])).toEqual([["rekor", "dsse 0.0.1"]]);
  expect(page.hits[0]).toMatchObject({
    digests: [{ of: "subject", algorithm: "sha256", value: encodeHex(attested) }],
  });
});
