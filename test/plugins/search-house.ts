/** Search behind the door, over logs in memory that tell what a test puts into them. They keep to the contract. */
import * as v from "valibot";
import { sha256 } from "../../core/crypto/hash.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { definePlugin } from "../../core/plugin.ts";
import { Failure } from "../../events/failure.ts";
import { latestHead, listLogs, proveInclusion, readEntries, readTile } from "../../events/log.ts";
import search from "../../plugins/search/plugin.ts";
import { mth, path } from "../formats/naive-merkle.ts";
import { bootDoor } from "../support/door.ts";

/** Tree id of the Rekor v1 log, which begins at index 100 over all shards. */
export const treeId = 255n;
const firstIndex = 100n;
const formats = { ct: "rfc6962", rekor: "rekor-v1", "rekor-v2": "rekor-v2" } as const;

/** A log's name. */
export type LogName = keyof typeof formats;

/** What the logs hold; it outlives a door. */
export class Logs {
  readonly entries: Record<
    LogName,
    { entry: Uint8Array; integratedAtMs: bigint; extraData?: Uint8Array }[]
  > = {
    ct: [],
    rekor: [],
    "rekor-v2": [],
  };
  readonly keys: Record<LogName, Uint8Array> = {
    ct: sha256(Uint8Array.of(1)),
    rekor: sha256(Uint8Array.of(2)),
    "rekor-v2": sha256(Uint8Array.of(3)),
  };

  /** Logs entries at one time. */
  append(log: LogName, at: Date, ...entries: readonly Uint8Array[]): void {
    const integratedAtMs = BigInt(at.getTime());
    this.entries[log].push(...entries.map((entry) => ({ entry, integratedAtMs })));
  }

  /** The tree's head. */
  head(log: LogName) {
    const hashes = this.entries[log].map(({ entry }) => leafHash(entry));
    return { size: BigInt(hashes.length), root: mth(hashes), checkpoint: `${log}\n` };
  }
}

/** Boots the door, search and the logs, and waits until the index has followed. */
export async function bootSearch(
  logs: Logs,
  prepare: (home: string) => Promise<void> = async () => await Promise.resolve(),
  waits = true,
) {
  const door = await bootDoor(
    {},
    { plugins: [search, logRoom(logs)], config: { search: {} }, prepare },
  );
  const get = async (query: string) => {
    const response = await fetch(`${door.origin}/api/search?${query}`);
    const text = await response.text();
    return { status: response.status, text, page: JSON.parse(text) as Page };
  };
  const post = async (body: object) => {
    const response = await fetch(`${door.origin}/api/v1/index/retrieve`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: JSON.parse(await response.text()) as unknown };
  };
  /** Waits until everything is in the index. */
  const followed = async (): Promise<void> => {
    for (let tries = 0; tries < 500; tries++) {
      const { status, page } = await get("limit=0");
      const sizes = Object.entries(logs.entries).map(([name, { length }]) => `${name} ${length}`);
      const indexed = status === 200 ? page.logs.map((one) => `${one.log} ${one.indexed}`) : [];
      if (sizes.toSorted().join() === indexed.toSorted().join()) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error("the index does not follow");
  };
  if (waits) await followed();
  return { door, get, post, followed, [Symbol.asyncDispose]: async () => await door.dispose() };
}

/** What tests look at. */
export interface Page {
  readonly hits: readonly {
    readonly log: LogName;
    readonly index: number;
    readonly logIndex: number;
    readonly entryId?: string;
    readonly leafHash: string;
    readonly kind: string;
    readonly signers: readonly { readonly sans: readonly { readonly value: string }[] }[];
    readonly shortened?: true;
    readonly inclusionProof?: readonly string[];
  }[];
  readonly cursor?: string;
  readonly logs: readonly {
    readonly log: string;
    readonly indexed: number;
    readonly size: number;
  }[];
  readonly heads: readonly {
    readonly log: LogName;
    readonly rootHash: string;
    readonly treeSize: number;
  }[];
  readonly counted?: {
    readonly total: number;
    readonly exact: boolean;
    readonly facets: { readonly [field: string]: readonly { value: string; count: number }[] };
  };
}

function logRoom(logs: Logs) {
  const known = (log: string): LogName => {
    if (!Object.hasOwn(formats, log)) throw new Failure("not-found", "no such log");
    return log as LogName; // a key of the formats, as just checked
  };
  return definePlugin({
    name: "log",
    summary: "tells what a test has logged",
    config: v.strictObject({}),
    offers: [listLogs, readEntries, latestHead, proveInclusion, readTile],
    needs: [],
    emits: [],
    follows: [],
    reaches: [],
  }).implement(async () => {
    await Promise.resolve();
    return {
      handlers: {
        listLogs: async () => ({
          logs: Object.entries(formats).map(([name, format]) => ({
            name,
            format,
            key: `key-${name}`,
            phase: "active",
            logId: logs.keys[known(name)],
            size: BigInt(logs.entries[known(name)].length),
            firstIndex: name === "rekor" ? firstIndex : 0n,
            ...(name === "rekor" && { treeId: String(treeId) }),
          })),
        }),
        readEntries: async ({ log, from, limit }) => ({
          entries: logs.entries[known(log)]
            .slice(Number(from), Number(from) + limit)
            .map((row, at) => ({ index: from + BigInt(at), extraData: new Uint8Array(), ...row })),
        }),
        latestHead: async ({ log }) => ({
          logId: logs.keys[known(log)],
          head: logs.head(known(log)),
        }),
        async proveInclusion({ log, index, size }) {
          const hashes = logs.entries[known(log)].slice(0, Number(size));
          const leaves = hashes.map(({ entry }) => leafHash(entry));
          return { root: mth(leaves), proof: path(Number(index), leaves) };
        },
        readTile: async () => await Promise.reject(new Failure("not-found", "no tiles here")),
      },
    };
  });
}
