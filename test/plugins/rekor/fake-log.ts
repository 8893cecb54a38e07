/** A log and its vault key in memory: the asks that Rekor needs, with real hashes and signatures, refusing what the contract refuses. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { sha256 } from "../../../core/crypto/hash.ts";
import { encodeBase64, equalBytes } from "../../../core/formats/encoding.ts";
import { emptyRoot, leafHash, nodeHash } from "../../../core/formats/merkle.ts";
import { formatSetPayload } from "../../../core/formats/rekor-entry.ts";
import { definePlugin, type Plugin } from "../../../core/plugin.ts";
import { Failure } from "../../../events/failure.ts";
import { describeKey } from "../../../events/hsm.ts";
import * as log from "../../../events/log.ts";
import * as v from "valibot";

/** The fake's two plugins and what a test may look at. */
export interface FakeLog {
  readonly plugins: readonly Plugin[];
  readonly bodies: readonly Uint8Array[];
  readonly publicKey: Uint8Array;
  /** Makes every ask of the log fail from now on; null mends it. */
  fail(failure: Failure | null): void;
}

const integratedAtMs = 1_700_000_000_000n;

/** A log named "rekor" of format rekor-v1 whose origin says `treeId`. */
export function fakeLog(treeId: string): FakeLog {
  const tree = new Tree(treeId);
  return {
    plugins: [vaultOf(tree), logOf(tree)],
    bodies: tree.bodies,
    publicKey: tree.spki,
    fail: (next) => {
      tree.failure = next;
    },
  };
}

/** The log's state. */
class Tree {
  readonly bodies: Uint8Array[] = [];
  readonly spki: Uint8Array;
  readonly logId: Uint8Array;
  failure: Failure | null = null;
  readonly treeId: string;
  readonly #privateKey: KeyObject;

  constructor(treeId: string) {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.treeId = treeId;
    this.#privateKey = privateKey;
    this.spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
    this.logId = sha256(this.spki);
  }

  open(name: string): void {
    if (this.failure !== null) throw this.failure;
    if (name !== "rekor") throw new Failure("not-found", "there is no such log");
  }

  head() {
    const size = this.bodies.length;
    const root = rootOf(this.bodies);
    const checkpoint = `localhost - ${this.treeId}\n${size}\n${encodeBase64(root)}\n\n— localhost AAAA\n`;
    return { size: BigInt(size), root, checkpoint };
  }

  /** The leaf's index, or -1. */
  find(hash: Uint8Array): number {
    return this.bodies.findIndex((body) => equalBytes(leafHash(body), hash));
  }

  promise(index: number, body: Uint8Array): Uint8Array {
    const payload = formatSetPayload({
      body,
      integratedTimeSeconds: integratedAtMs / 1_000n,
      logId: this.logId,
      logIndex: BigInt(index),
    });
    return new Uint8Array(sign("sha256", payload, this.#privateKey));
  }

  append(body: Uint8Array) {
    const hash = leafHash(body);
    const before = this.find(hash);
    const index = before < 0 ? this.bodies.push(body) - 1 : before;
    return {
      index: BigInt(index),
      leafHash: hash,
      logId: this.logId,
      integratedAtMs,
      promise: this.promise(index, body),
      known: before >= 0,
      head: this.head(),
      inclusionProof: pathOf(this.bodies, index),
    };
  }
}

function logOf(tree: Tree): Plugin {
  const { bodies, logId, treeId } = tree;
  return logManifest.implement(async () => ({
    handlers: {
      async appendEntry({ log: name, entry }) {
        tree.open(name);
        if (entry.kind !== "body") throw new Failure("malformed", "a Rekor log takes bodies");
        return tree.append(entry.body);
      },
      async readEntries({ log: name, from, limit }) {
        tree.open(name);
        const start = Number(from);
        const entries = bodies.slice(start, start + limit).map((entry, at) => ({
          index: BigInt(start + at),
          entry,
          extraData: new Uint8Array(),
          integratedAtMs,
          promise: tree.promise(start + at, entry),
        }));
        return { entries };
      },
      async findLeaf({ log: name, leafHash: hash }) {
        tree.open(name);
        const index = tree.find(hash);
        if (index < 0) throw new Failure("not-found", "no such leaf");
        return { index: BigInt(index) };
      },
      async listLogs() {
        const size = BigInt(bodies.length);
        const one = { name: "rekor", format: "rekor-v1", key: "rekor-v1-log", treeId } as const;
        return { logs: [{ ...one, phase: "active" as const, firstIndex: 0n, size }] };
      },
      async latestHead({ log: name }) {
        tree.open(name);
        return { logId, head: tree.head() };
      },
      async proveInclusion({ log: name, index, size }) {
        tree.open(name);
        if (size > BigInt(bodies.length) || index >= size) {
          throw new Failure("out-of-range", "beyond the tree");
        }
        const prefix = bodies.slice(0, Number(size));
        return { root: rootOf(prefix), proof: pathOf(prefix, Number(index)) };
      },
      async proveConsistency({ log: name, first, second }) {
        tree.open(name);
        if (first < 1n || first > second || second > BigInt(bodies.length)) {
          throw new Failure("out-of-range", "beyond the tree");
        }
        return { root: rootOf(bodies.slice(0, Number(second))), proof: [] };
      },
    },
  }));
}

function vaultOf(tree: Tree): Plugin {
  return hsmManifest.implement(async () => ({
    handlers: {
      async describeKey({ key }) {
        if (key !== "rekor-v1-log") throw new Failure("key-unavailable", "no such key");
        return { algorithm: "ecdsa-p256", publicKey: tree.spki, purposes: ["checkpoint"] };
      },
    },
  }));
}

const fields = {
  summary: "For tests",
  config: v.strictObject({}),
  needs: [],
  emits: [],
  follows: [],
  reaches: [],
} as const;

const hsmManifest = definePlugin({ ...fields, name: "hsm", offers: [describeKey] });

const logManifest = definePlugin({
  ...fields,
  name: "log",
  offers: [
    log.appendEntry,
    log.readEntries,
    log.findLeaf,
    log.latestHead,
    log.listLogs,
    log.proveInclusion,
    log.proveConsistency,
  ],
});

/** RFC 6962 §2.1, straight from its definition. */
function rootOf(entries: readonly Uint8Array[]): Uint8Array {
  const [only] = entries;
  if (only === undefined) return emptyRoot();
  if (entries.length === 1) return leafHash(only);
  const split = splitOf(entries.length);
  return nodeHash(rootOf(entries.slice(0, split)), rootOf(entries.slice(split)));
}

/** RFC 6962 §2.1.1. */
function pathOf(entries: readonly Uint8Array[], index: number): Uint8Array[] {
  if (entries.length <= 1) return [];
  const split = splitOf(entries.length);
  const left = entries.slice(0, split);
  const right = entries.slice(split);
  return index < split
    ? [...pathOf(left, index), rootOf(right)]
    : [...pathOf(right, index - split), rootOf(left)];
}

function splitOf(size: number): number {
  return 2 ** (Math.ceil(Math.log2(size)) - 1);
}
