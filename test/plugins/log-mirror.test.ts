/** A log in tiles is copied by the CLI's command from a server that may lie, lag, or lose what it had; the folder is checked naively. */
import { createHash, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, unlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { run } from "../../plugins/client/log-mirror-command.ts";
import { copyLog } from "../../plugins/client/mirror/copy.ts";
import {
  readNoteKey,
  type VerifiedCheckpoint,
  verifyNote,
} from "../../plugins/client/mirror/note-key.ts";
import { formatNote } from "../../core/formats/note.ts";
import { encodeEntryBundle, formatTilePath } from "../../core/formats/tile.ts";
import { leafOf, mth } from "../formats/naive-merkle.ts";

const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const pem = publicKey.export({ format: "pem", type: "spki" }).toString();
const pairs = generateKeyPairSync("ed25519");
const origin = "log.example/tiles";

const entryOf = (n: number) => new TextEncoder().encode(`entry ${n}`);
const entriesTo = (size: number) => Array.from({ length: size }, (_, at) => entryOf(at));

/** Every file of a log in tiles, by recursion over its levels. */
function filesOf(
  entries: readonly Uint8Array[],
  key: KeyObject = privateKey,
): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const leaves = entries.map(leafOf);
  for (let at = 0; at < entries.length; at += 256) {
    const some = entries.slice(at, at + 256);
    const place = { level: "entries", index: BigInt(at / 256), width: some.length } as const;
    files.set(formatTilePath(place), encodeEntryBundle(some));
  }
  let hashes: readonly Uint8Array[] = leaves;
  for (let level = 0; hashes.length > 0; level++) {
    const above: Uint8Array[] = [];
    for (let at = 0; at < hashes.length; at += 256) {
      const some = hashes.slice(at, at + 256);
      const place = { level, index: BigInt(at / 256), width: some.length };
      files.set(formatTilePath(place), new Uint8Array(Buffer.concat(some)));
      if (some.length === 256) above.push(mth(some));
    }
    hashes = above;
  }
  files.set("checkpoint", new TextEncoder().encode(noteOf(entries.length, mth(leaves), key)));
  return files;
}

function noteOf(size: number, root: Uint8Array, key: KeyObject, text = `${origin}\n`): string {
  const body = `${text}${size}\n${Buffer.from(root).toString("base64")}\n`;
  const hash = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  const signature = new Uint8Array(sign(hash, Buffer.from(body), key));
  const witness = {
    name: "witness.example",
    keyHint: new Uint8Array(4),
    signature: new Uint8Array(72),
  };
  return formatNote(body, [
    { name: "log.example", keyHint: new Uint8Array(4), signature },
    witness,
  ]);
}

let files: Map<string, Uint8Array>;
let asked: string[];
let server: Server;
let url: string;
let folder: string;

beforeEach(async () => {
  files = new Map();
  asked = [];
  server = createServer((request, response) => {
    const path = (request.url ?? "").replace("/log/", "");
    asked.push(path);
    const body = files.get(path);
    response.writeHead(body ? 200 : 404).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/log`;
  folder = await mkdtemp(join(tmpdir(), "chancery-mirror-"));
  await writeFile(join(folder, "key.pem"), pem);
});
afterEach(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

async function mirror(...flags: readonly string[]) {
  const lines: string[] = [];
  const key = flags.includes("--key") ? [] : ["--key", "key.pem"];
  const terminal = {
    environment: {},
    folder,
    print: (line: string) => void lines.push(line),
    complain: () => undefined,
    readInput: async () => new Uint8Array(),
  };
  const code = await run([url, "copy", "--json", ...key, ...flags], terminal);
  return { code, ...(JSON.parse(lines.at(-1) ?? "{}") as { [name: string]: unknown }) };
}

/** The folder holds exactly the files of the log, but for partial tiles, of which the newest are enough. */
async function expectCopied(wanted: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const found = await readdir(join(folder, "copy"), { recursive: true, withFileTypes: true });
  const names = found
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name).slice(join(folder, "copy").length + 1));
  expect(names.toSorted()).toEqual([...wanted.keys()].toSorted());
  for (const [path, bytes] of wanted) {
    expect(Buffer.compare(await readFile(join(folder, "copy", path)), bytes), path).toBe(0);
  }
}

test("a log is followed from nothing over the boundaries of tiles", async () => {
  for (const size of [0, 1, 255, 256, 257, 768]) {
    files = filesOf(entriesTo(size));
    expect(await mirror(), String(size)).toMatchObject({ code: 0, size: String(size), origin });
    await expectCopied(files);
  }
  asked = [];
  expect(await mirror()).toMatchObject({ fetched: 0, before: "768" });
  expect(asked).toEqual(["checkpoint"]);
});

test("a log with three levels of tiles is copied, and goes on", async () => {
  const key = readNoteKey(pem);
  const kept = new Map<string, Uint8Array>();
  const copy = {
    read: async (path: string) => kept.get(path) ?? null,
    write: async (path: string, bytes: Uint8Array) => void kept.set(path, bytes),
    remove: async (path: string) => void kept.delete(path),
  };
  let held: VerifiedCheckpoint | null = null;
  for (const size of [65_540, 65_800]) {
    const log = filesOf(entriesTo(size));
    let reads = 0;
    const source = { read: async (path: string) => (reads++, log.get(path) ?? null) };
    const checkpoint = verifyNote(Buffer.from(log.get("checkpoint") ?? "").toString(), key);
    await copyLog({ source, copy, checkpoint, held, pending: null, deep: false });
    log.delete("checkpoint");
    expect(kept).toEqual(log);
    expect(reads).toBeLessThan(held === null ? 1_000 : 12);
    held = checkpoint;
  }
});

test("a partial tile that the log has dropped is read from the full one", async () => {
  files = filesOf(entriesTo(300));
  const more = filesOf(entriesTo(600));
  const checkpoint = files.get("checkpoint") ?? new Uint8Array();
  files = new Map([
    ...more,
    ["tile/1/000.p/1", more.get("tile/1/000.p/2")?.subarray(0, 32) ?? checkpoint],
    ["checkpoint", checkpoint],
  ]);
  expect(await mirror()).toMatchObject({ size: "300" });
  await expectCopied(filesOf(entriesTo(300)).set("checkpoint", checkpoint));
});

test("an interrupted copy goes on where it was", async () => {
  files = filesOf(entriesTo(2_000));
  const lost = "tile/entries/005";
  const bundle = files.get(lost) ?? new Uint8Array();
  files.delete(lost);
  await expect(mirror()).rejects.toThrow("the log has no tile/entries/005");
  expect(await readdir(join(folder, "copy"))).toContain("checkpoint.pending");
  files.set(lost, bundle);
  asked = [];
  await mirror();
  await expectCopied(files);
  expect(asked).not.toContain("tile/entries/000");
});

describe("nothing bad is kept", () => {
  const flip = (bytes: Uint8Array, at = 3) => bytes.with(at, (bytes[at] ?? 0) ^ 1);
  const paths = [
    "tile/0/000",
    "tile/1/000.p/2",
    "tile/0/002.p/88",
    "tile/entries/000",
    "tile/entries/002.p/88",
  ];

  test.for(paths)("a flipped bit in %s", async (path) => {
    files = filesOf(entriesTo(600));
    files.set(path, flip(files.get(path) ?? new Uint8Array()));
    await expect(mirror()).rejects.toThrow();
    const kept = await readdir(join(folder, "copy"), { recursive: true }).catch(() => []);
    expect(kept).not.toContain(path);
    expect(kept).not.toContain("checkpoint");
  });

  test.for(paths)("%s cut short, and too long", async (path) => {
    const whole = filesOf(entriesTo(600));
    const bytes = whole.get(path) ?? new Uint8Array();
    for (const other of [bytes.subarray(0, -1), bytes.subarray(0, 0), new Uint8Array(9_000)]) {
      files = new Map(whole).set(path, other);
      await expect(mirror()).rejects.toThrow();
    }
  });

  test("what was held stays as it was while the log is damaged", async () => {
    files = filesOf(entriesTo(300));
    await mirror();
    const good = files;
    files = filesOf(entriesTo(700));
    for (const [path, bytes] of files) if (path !== "checkpoint") files.set(path, flip(bytes));
    await expect(mirror()).rejects.toThrow();
    await expectCopied(good);
  });
});

describe("a checkpoint is not believed", () => {
  test("that another key has signed", async () => {
    files = filesOf(entriesTo(3), generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
    await expect(mirror()).rejects.toThrow("not signed by the given key");
  });

  test("of another origin", async () => {
    files = filesOf(entriesTo(3));
    await expect(mirror("--origin", "elsewhere")).rejects.toThrow('not of "elsewhere"');
    await mirror("--origin", origin);
    const note = noteOf(4, mth(entriesTo(4).map(leafOf)), privateKey, "elsewhere\n");
    files = filesOf(entriesTo(4)).set("checkpoint", new TextEncoder().encode(note));
    await expect(mirror()).rejects.toThrow(`not of "${origin}"`);
  });

  test("whose tree does not go on from the one that is held, nor from one it was on its way to", async () => {
    files = filesOf(entriesTo(300));
    await mirror();
    const kept = files;
    const other = entriesTo(900).with(7, entryOf(1_000_000));
    files = filesOf(other);
    await expect(mirror()).rejects.toThrow("does not go on from its tree of 300");
    expect(await readdir(join(folder, "copy"))).toContain("forked-900.checkpoint");
    await unlink(join(folder, "copy", "forked-900.checkpoint"));
    await expectCopied(kept);
    // Half copied, then the log shows another tree that goes on from the one that was copied whole.
    files = filesOf(entriesTo(400));
    files.delete("tile/entries/001.p/144");
    await expect(mirror()).rejects.toThrow("the log has no tile/entries/001");
    files = filesOf(entriesTo(900).with(350, entryOf(2_000_000)));
    await expect(mirror()).rejects.toThrow("does not go on from its tree of 400");
  });

  test("of the same size with another root, or of a smaller tree that is no prefix", async () => {
    files = filesOf(entriesTo(300));
    await mirror();
    files = filesOf(entriesTo(300).with(299, entryOf(1_000_000)));
    await expect(mirror()).rejects.toThrow("no part of the one of 300");
    files = filesOf(entriesTo(200).with(0, entryOf(1_000_000)));
    await expect(mirror()).rejects.toThrow("no part of the one of 300");
    files = filesOf(entriesTo(200));
    expect(await mirror()).toMatchObject({ code: 0, size: "300", behind: true });
  });
});

test("--deep finds what the folder has lost or holds damaged, and fetches it again", async () => {
  files = filesOf(entriesTo(1_000));
  await mirror();
  const at = (path: string) => join(folder, "copy", path);
  await unlink(at("tile/0/001"));
  await writeFile(at("tile/entries/002"), "damage");
  await writeFile(at("tile/1/000.p/3"), new Uint8Array(96));
  expect(await mirror("--deep")).toMatchObject({ healed: 2 });
  await expectCopied(files);
  // A log that lies about it makes nothing worse.
  const good = files;
  files = new Map(files).set("tile/0/000", new Uint8Array(8_192));
  await expect(mirror("--deep")).resolves.toMatchObject({ healed: 0 });
  await expectCopied(good);
});

test("takes the key as a vkey too", async () => {
  files = filesOf(entriesTo(5), pairs.privateKey);
  const raw = pairs.publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const id = Buffer.concat([Buffer.from("log.example\n"), Buffer.of(1), raw]);
  const hint = createHash("sha256").update(id).digest("hex").slice(0, 8);
  const vkey = `log.example+${hint}+${Buffer.concat([Buffer.of(1), raw]).toString("base64")}`;
  expect(await mirror("--key", vkey)).toMatchObject({ size: "5" });
  expect(() => readNoteKey(vkey.replace("log.example", "log.exampl"))).toThrow(/copy it anew/);
});

test.for([
  ["a URL that is none", ["nowhere", "copy", "--key", "key.pem"]],
  ["no key", ["http://127.0.0.1:9/", "copy"]],
  ["a pause that is none", ["http://127.0.0.1:9/", "copy", "--key", "key.pem", "--follow", "0"]],
  ["a key that is none", ["http://127.0.0.1:9/", "copy", "--key", "a+00000000+AAAA"]],
] as const)("refuses %s", async ([, args]) => {
  const terminal = {
    environment: {},
    folder,
    print: () => undefined,
    complain: () => undefined,
    readInput: async () => new Uint8Array(),
  };
  await expect(run(args, terminal)).rejects.toThrow();
  expect(asked).toEqual([]);
});
