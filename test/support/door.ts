/** The door with every other room played by a fake that counts what it is asked, and clients that may say anything. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import * as v from "valibot";
import { definePlugin, type Plugin } from "../../core/plugin.ts";
import type { StorageDriver } from "../../core/storage.ts";
import type { AnswerOf, Ask, QuestionOf } from "../../events/contract.ts";
import * as ct from "../../events/ct.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";
import { listIssuers } from "../../events/identity.ts";
import { describeProvider, issueDemoToken } from "../../events/idp.ts";
import { countRefusals, issueCertificate, trustBundle } from "../../events/issuer.ts";
import { latestHead, readTile } from "../../events/log.ts";
import * as rekor from "../../events/rekor.ts";
import { retrieveIndex, searchEntries } from "../../events/search.ts";
import { createTimestamp, timestampChain } from "../../events/timestamp.ts";
import { readTrustFile } from "../../events/trust.ts";
import http from "../../plugins/http/plugin.ts";
import { bootForTest, silentJournal } from "./boot.ts";

/** 32 bytes. */
export const hash = new Uint8Array(32).fill(1);
/** The id of {@link entry}. */
export const entryId = `${"0".repeat(15)}1${"ab".repeat(32)}`;
/** What the fake Rekor holds at every index. */
export const entry: AnswerOf<typeof rekor.getEntry> = {
  entryId,
  logIndex: 2n ** 60n + 1n,
  logId: hash,
  integratedTimeSeconds: 1_700_000_000n,
  body: new TextEncoder().encode("{}"),
  signedEntryTimestamp: new Uint8Array([1, 2]),
  inclusionProof: {
    index: 0n,
    size: 1n,
    root: hash,
    hashes: [hash],
    checkpoint: "localhost - 1\n1\n\u2014\n",
  },
};

const sct = {
  logId: hash,
  timestampMs: 5n,
  extensions: new Uint8Array(),
  signature: new Uint8Array([4, 3]),
};

/** Answers of the fakes by ask; a Failure code instead makes it fail. */
const answers: { readonly [name: string]: unknown } = {
  countRefusals: {},
  issueCertificate: { chain: [new Uint8Array([0x30, 0]), new Uint8Array([0x30, 1, 0])] },
  trustBundle: { chains: [[new Uint8Array([0x30, 0])]] },
  listIssuers: {
    issuers: [
      {
        issuerUrl: "https://idp.example",
        audience: "sigstore",
        challengeClaim: "email",
        issuerType: "email",
      },
    ],
  },
  addChain: sct,
  addPreChain: sct,
  getSth: { size: 9n, timestampMs: 5n, root: hash, signature: new Uint8Array([4, 3]) },
  getSthConsistency: { consistency: [hash] },
  getProofByHash: { leafIndex: 3n, auditPath: [hash] },
  getEntries: { entries: [{ leafInput: new Uint8Array([1]), extraData: new Uint8Array([2]) }] },
  getEntryAndProof: {
    leafInput: new Uint8Array([1]),
    extraData: new Uint8Array([2]),
    auditPath: [hash],
  },
  getRoots: { certificates: [new Uint8Array([0x30, 0])] },
  createEntry: { entry, known: false },
  createEntryV2: {
    index: 0n,
    logId: hash,
    kind: "hashedrekord",
    version: "0.0.2",
    body: new TextEncoder().encode("{}"),
    size: 1n,
    root: hash,
    hashes: [],
    checkpoint: "localhost\n1\n\u2014\n",
  },
  createTimestamp: { granted: true, response: new Uint8Array([0x30, 0]) },
  timestampChain: { certificates: [new Uint8Array([0x30, 0]), new Uint8Array([0x30, 1, 0])] },
  getEntry: entry,
  describeLog: {
    treeId: "1",
    size: 9n,
    root: hash,
    checkpoint: "cp\n",
    publicKey: new Uint8Array([0x30, 0]),
    inactive: [],
  },
  proveLog: { root: hash, hashes: [hash] },
  retrieveIndex: { entryIds: [entryId] },
  searchEntries: { hits: [], extents: [{ log: "rekor", indexed: 8n, size: 9n }], heads: [] },
  latestHead: { logId: hash, head: { size: 9n, root: hash, checkpoint: "cp\n" } },
  readTile: { tile: new Uint8Array([7, 8, 9]) },
  readTrustFile: { content: new TextEncoder().encode('{"signed":{}}'), immutable: true },
  describeProvider: { discovery: '{"issuer":"x"}', jwks: '{"keys":[]}' },
  issueDemoToken: { idToken: "a.b.c" },
};

const rooms: readonly (readonly Ask[])[] = [
  [issueCertificate, trustBundle, countRefusals],
  [listIssuers],
  [
    ct.addChain,
    ct.addPreChain,
    ct.getEntries,
    ct.getEntryAndProof,
    ct.getProofByHash,
    ct.getRoots,
    ct.getSth,
    ct.getSthConsistency,
  ],
  [rekor.createEntry, rekor.createEntryV2, rekor.describeLog, rekor.getEntry, rekor.proveLog],
  [latestHead, readTile],
  [retrieveIndex, searchEntries],
  [readTrustFile],
  [createTimestamp, timestampChain],
  [describeProvider, issueDemoToken],
];

/** What was asked of the fakes. */
export interface Heard {
  readonly name: string;
  readonly question: unknown;
  readonly trace: string;
}

/** A door with its fakes. */
export interface Door extends AsyncDisposable {
  readonly port: number;
  readonly tlsPort: number;
  readonly origin: string;
  /** Absolute path of its home. */
  readonly home: string;
  /** Certificate of the TLS listener, PEM. */
  readonly certificate: string;
  /** What the issuer was told of refusals, in order. */
  readonly told: readonly Heard[];
  readonly heard: Heard[];
  /** What the fakes answer from now on; a failure code makes an ask fail, a promise makes it wait. */
  readonly answer: { [name: string]: unknown };
  readonly journal: {
    readonly event: string;
    readonly fields: { readonly [name: string]: unknown };
  }[];
  dispose(): Promise<void>;
}

/** Rooms that are themselves, and no fakes, with their configuration. */
export interface RealRooms {
  readonly plugins: readonly Plugin[];
  readonly config: { readonly [section: string]: unknown };
  readonly storage?: StorageDriver;
  /** Whatever a room keeps in its home is put here first. */
  readonly prepare?: (home: string) => Promise<void>;
}

const noRooms: RealRooms = { plugins: [], config: {} };

/** Boots a door on free ports of 127.0.0.1. */
export async function bootDoor(config: object = {}, real = noRooms): Promise<Door> {
  const heard: Heard[] = [];
  const told: Heard[] = [];
  const answer: Door["answer"] = { ...answers };
  const journal: Door["journal"][number][] = [];
  const home = await mkdtemp(join(tmpdir(), "chancery-door-"));
  await makeCredentials(home);
  await real.prepare?.(home);
  const note = (event: string, fields = {}) => journal.push({ event, fields });
  const fakes = rooms
    .map((asks) => fake(asks, { heard, told }, answer))
    .filter(({ manifest }) => real.plugins.every((one) => one.manifest.name !== manifest.name));
  const installation = await bootForTest({
    entries: [http, ...real.plugins, ...fakes],
    config: {
      ...real.config,
      http: {
        publicUrl: "http://localhost:8420",
        addresses: ["127.0.0.1"],
        port: 0,
        tlsPort: 0,
        demo: true,
        ...config,
      },
      ...Object.fromEntries(fakes.map(({ manifest }) => [manifest.name, {}])),
    },
    home,
    ...(real.storage && { storage: real.storage }),
    journal: (plugin) => ({
      ...silentJournal,
      info: (event, fields) => note(plugin === "metrics" ? `metrics-${event}` : event, fields),
      warn: note,
      error: note,
    }),
  });
  const ports = journal
    .filter(({ event }) => event === "listening")
    .map(({ fields }) => Number(fields["port"]));
  const dispose = async (): Promise<void> => {
    await installation.dispose();
    await rm(home, { recursive: true, force: true });
  };
  const [port = 0, tlsPort = 0] = ports;
  const origin = `http://127.0.0.1:${port}`;
  const certificate = await readFile(join(home, "trust/tls/cert.pem"), "utf8");
  return {
    port,
    tlsPort,
    origin,
    home,
    certificate,
    heard,
    told,
    answer,
    journal,
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

/** Sends `text` as it is over a connection of its own and gives everything that comes back. */
export async function sendRaw(port: number, text: string | Uint8Array): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  const parts: Uint8Array[] = [];
  socket.on("data", (part: Buffer) => parts.push(part));
  socket.on("error", () => socket.destroy());
  socket.write(text);
  await once(socket, "close");
  return Buffer.concat(parts).toString("latin1");
}

function fake(
  asks: readonly Ask[],
  { heard, told }: { readonly heard: Heard[]; readonly told: Heard[] },
  answer: Door["answer"],
): Plugin {
  const room = asks[0]?.room ?? "";
  const handlers = Object.fromEntries(
    asks.map(({ name }) => [
      name,
      async (question: QuestionOf<Ask>, { trace }: { trace: string }) => {
        // Told once a second and not by a request.
        (name === countRefusals.name ? told : heard).push({ name, question, trace });
        const said: unknown = await answer[name];
        if (typeof said === "string") throw new Failure(said as FailureCode, "a secret reason");
        return said;
      },
    ]),
  );
  const manifest = {
    name: room,
    summary: "stands in",
    config: v.strictObject({}),
    offers: asks,
    needs: [],
    emits: [],
    follows: [],
    reaches: [],
  };
  // The handlers are made of the very asks that are offered.
  return definePlugin(manifest).implement(
    async () => await Promise.resolve({ handlers: handlers as never }),
  );
}

async function makeCredentials(home: string): Promise<void> {
  await mkdir(join(home, "secrets", "tls"), { recursive: true });
  await mkdir(join(home, "trust", "tls"), { recursive: true });
  const paths = [
    "-keyout",
    join(home, "secrets/tls/key.pem"),
    "-out",
    join(home, "trust/tls/cert.pem"),
  ];
  const kind = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=localhost",
    "-addext",
    "subjectAltName=DNS:localhost",
  ];
  await promisify(execFile)("openssl", ["req", "-x509", ...kind, ...paths]);
}
