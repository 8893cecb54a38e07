/** A log booted on a store and a vault that outlive it, and the oracle that re-checks everything from outside. */
import { createPublicKey, verify } from "node:crypto";
import { expect } from "vitest";
import { emptyRoot, verifyConsistency, verifyInclusion } from "../../core/formats/merkle.ts";
import { parseCheckpoint } from "../../core/formats/checkpoint.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { parseNote } from "../../core/formats/note.ts";
import { formatSetPayload } from "../../core/formats/rekor-entry.ts";
import {
  parseDigitallySigned,
  sctSignatureInput,
  parseMerkleTreeLeaf,
} from "../../core/formats/sct.ts";
import type { StorageDriver } from "../../core/storage.ts";
import type { AnswerOf } from "../../events/contract.ts";
import {
  appendEntry,
  findLeaf,
  latestHead,
  proveConsistency,
  readEntries,
  type Candidate,
  type Head,
} from "../../events/log.ts";
import type { LogConfig } from "../../plugins/log/manifest.ts";
import { fsckLogs } from "../../plugins/log/commands.ts";
import log from "../../plugins/log/plugin.ts";
import { bootForTest, type TestBoot, type TestInstallation } from "../support/boot.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { TestVault, vaultPlugin } from "./log-vault.ts";
import { leafOf, mth } from "../formats/naive-merkle.ts";

/** What an append is answered with. */
export type Appended = AnswerOf<typeof appendEntry>;

/** One log, its vault and its store. */
export class LogBench {
  readonly vault: TestVault;
  readonly format: LogConfig["format"];
  readonly driver: StorageDriver;
  /** What the installation is booted on; a test may put a faulty one over the driver. */
  storage: StorageDriver;
  clock: TestBoot["clock"];
  /** More of the room's configuration. */
  scrub: { readonly entriesPerSecond: number } | undefined;
  reserveBytes: number | undefined;
  fatal: string[] = [];
  /** Everything that was ever answered. */
  readonly promised: Appended[] = [];
  readonly heads: Head[] = [];
  installation: TestInstallation | null = null;

  constructor(
    format: LogConfig["format"],
    driver: StorageDriver = memoryStorage(),
    vault = new TestVault(),
  ) {
    this.format = format;
    this.vault = vault;
    this.driver = driver;
    this.storage = driver;
  }

  async start(): Promise<void> {
    this.installation = await bootForTest({
      entries: [vaultPlugin({ key: this.vault }), log],
      config: {
        hsm: {},
        log: {
          logs: [{ name: "one", format: this.format, key: "key" }],
          ...(this.scrub && { scrub: this.scrub }),
          ...(this.reserveBytes !== undefined && { reserveBytes: this.reserveBytes }),
        },
      },
      storage: this.storage,
      ...(this.clock && { clock: this.clock }),
      fatal: (reason) => this.fatal.push(reason),
    });
  }

  async stop(): Promise<void> {
    const { installation } = this;
    this.installation = null;
    await installation?.dispose();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  get ask(): TestInstallation["ask"] {
    const { installation } = this;
    if (installation === null) throw new Error("not started");
    return async (ask, question, asker) => await installation.ask(ask, question, asker);
  }

  async append(entry: Candidate): Promise<Appended> {
    const answer = await this.ask(appendEntry, { log: "one", entry }, "rekor");
    this.promised.push(answer);
    this.heads.push(answer.head);
    return answer;
  }

  /** The one oracle: recomputes the tree from what the log shows and holds every promise and every signed tree against it. */
  async check(): Promise<void> {
    const { head } = await this.ask(latestHead, { log: "one" });
    this.heads.push(head);
    const entries: AnswerOf<typeof readEntries>["entries"][number][] = [];
    while (BigInt(entries.length) < head.size) {
      const from = BigInt(entries.length);
      const page = await this.ask(readEntries, { log: "one", from, limit: 1_000 });
      expect(page.entries.length).toBeGreaterThan(0);
      entries.push(...page.entries);
    }
    const leaves = entries.map(({ entry }) => leafOf(entry));
    expect(mth(leaves)).toEqual(head.root);
    const trees = [...this.vault.signedTrees, ...this.heads];
    for (const tree of new Map(
      trees.map((one) => [`${one.size} ${one.root.toHex()}`, one]),
    ).values()) {
      expect(tree.size <= head.size).toBe(true);
      expect(mth(leaves.slice(0, Number(tree.size)))).toEqual(tree.root);
    }
    for (const one of new Map(this.heads.map((each) => [each.checkpoint, each])).values()) {
      this.checkHead(one);
    }
    for (const answer of this.promised) {
      const entry = entries[Number(answer.index)];
      expect(leaves[Number(answer.index)]).toEqual(answer.leafHash);
      expect(entry?.integratedAtMs).toBe(answer.integratedAtMs);
      this.checkPromise(answer, entry?.entry ?? new Uint8Array());
    }
    for (const [at, { index, integratedAtMs }] of entries.entries()) {
      expect(index).toBe(BigInt(at));
      expect(integratedAtMs >= (entries[at - 1]?.integratedAtMs ?? 0n)).toBe(true);
    }
    const last = leaves.at(-1);
    if (last) {
      const found = await this.ask(findLeaf, { log: "one", leafHash: last });
      expect(found.index).toBe(head.size - 1n);
    }
    const first = head.size / 2n;
    const { proof } = await this.ask(proveConsistency, { log: "one", first, second: head.size });
    const firstRoot = first === 0n ? emptyRoot() : mth(leaves.slice(0, Number(first)));
    expect(
      verifyConsistency({ first, second: head.size, firstRoot, secondRoot: head.root, proof }),
    ).toBe(true);
  }

  checkHead({ size, root, checkpoint, treeHead }: Head): void {
    const { text, signatures } = parseNote(checkpoint);
    expect(parseCheckpoint(text)).toEqual({ origin: this.vault.origin, size, root });
    expect(this.verify(encodeUtf8(text), signatures[0]?.signature)).toBe(true);
    expect(treeHead !== undefined).toBe(this.format === "rfc6962");
  }

  checkPromise(answer: Appended, entry: Uint8Array): void {
    const { index, leafHash, head, inclusionProof, promise, integratedAtMs } = answer;
    expect(
      verifyInclusion({ index, leafHash, size: head.size, root: head.root, proof: inclusionProof }),
    ).toBe(true);
    if (this.format === "rekor-v2") {
      expect(promise).toBeUndefined();
    } else if (this.format === "rekor-v1") {
      const payload = formatSetPayload({
        body: entry,
        integratedTimeSeconds: integratedAtMs / 1000n,
        logId: this.vault.logId,
        logIndex: index,
      });
      expect(this.verify(payload, promise)).toBe(true);
    } else {
      const { signature } = parseDigitallySigned(promise ?? new Uint8Array());
      expect(this.verify(sctSignatureInput(parseMerkleTreeLeaf(entry)), signature)).toBe(true);
    }
  }

  /** Stops the log and has its part of fsck look at the store. */
  async fsck() {
    await this.stop();
    return await fsckLogs({
      openReader: async (name) => await this.driver.openReader(`log-${name}`),
      logs: [
        { name: "one", format: this.format, publicKey: this.vault.publicKey, origin: "localhost" },
      ],
      lastSigned: async () => this.vault.last,
    });
  }

  private verify(data: Uint8Array, signature: Uint8Array | undefined): boolean {
    const key = createPublicKey({
      key: Buffer.from(this.vault.publicKey),
      format: "der",
      type: "spki",
    });
    return signature !== undefined && verify("sha256", data, key, signature);
  }
}

/** A body of its own for each number. */
export const body = (n: number): Candidate => ({ kind: "body", body: encodeUtf8(`entry ${n}`) });

/** A precertificate of its own for each number; the log does not look into it. */
export const precertificate = (n: number): Candidate => ({
  kind: "precertificate",
  issuerKeyHash: new Uint8Array(32).fill(7),
  tbs: encodeUtf8(`certificate ${n}`),
  extraData: encodeUtf8(`chain ${n}`),
});
