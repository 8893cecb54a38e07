/**
 * A vault for the log's tests: one key in memory, the guard's rules enforced on every ask, everything it ever signed kept for the
 * oracle, and faults on demand.
 */
import { createHash, generateKeyPairSync, sign as signBytes, type KeyObject } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import { definePlugin, type Plugin } from "../../core/plugin.ts";
import { formatCheckpoint } from "../../core/formats/checkpoint.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { emptyRoot, verifyConsistency } from "../../core/formats/merkle.ts";
import { formatSetPayload } from "../../core/formats/rekor-entry.ts";
import { sctSignatureInput, treeHeadSignatureInput } from "../../core/formats/sct.ts";
import { describeKey, lastSigned, listOwnRoots, sign, type Signable } from "../../events/hsm.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";

/** What goes wrong with an ask: before or after the guard has taken note. */
export type Fault =
  | { readonly kind: "fail"; readonly code: FailureCode; readonly when: "before" | "after" }
  | { readonly kind: "hang" }
  | { readonly kind: "bad-signature" };

/** A tree that was signed. */
export interface Tree {
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** Outlives the installations of a test, as a token does. */
export class TestVault {
  readonly origin: string;
  readonly publicKey: Uint8Array;
  readonly logId: Uint8Array;
  readonly #privateKey: KeyObject;
  last: Tree = { size: 0n, root: emptyRoot() };
  lastTimeMs = 0n;
  /** Every tree it has signed, published or not. */
  readonly signedTrees: Tree[] = [];
  /** The purposes of each tick's asks. */
  asks: string[] = [];
  /** Asked for each signable; null for none. */
  fault: (purpose: string) => Fault | null = () => null;

  constructor(origin = "localhost", pair = generateKeyPairSync("ec", { namedCurve: "P-256" })) {
    const { publicKey, privateKey } = pair;
    this.origin = origin;
    this.#privateKey = privateKey;
    this.publicKey = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
    this.logId = new Uint8Array(createHash("sha256").update(this.publicKey).digest());
  }

  sign(signable: Signable): { signatures: Uint8Array[]; signed?: Uint8Array } {
    this.asks.push(signable.purpose);
    switch (signable.purpose) {
      case "checkpoint": {
        this.#admit(signable, this.lastTimeMs);
        const signed = encodeUtf8(formatCheckpoint({ origin: this.origin, ...signable }));
        return { signatures: [this.#sign(signed)], signed };
      }
      case "treeHead":
        this.#admit(signable, signable.timestampMs);
        return { signatures: [this.#sign(treeHeadSignatureInput(signable))] };
      case "scts":
        return {
          signatures: signable.entries.map((entry) => this.#sign(sctSignatureInput(entry))),
        };
      case "signedEntryTimestamps":
        return {
          signatures: signable.entries.map(({ index, ...entry }) =>
            this.#sign(formatSetPayload({ ...entry, logIndex: index, logId: this.logId })),
          ),
        };
      case "certificate":
      case "timestamp":
      case "tufRole":
      case "idToken":
        throw new Failure("purpose-refused", "a log's key does not sign this");
    }
  }

  #admit({ size, root, consistencyProof }: Extract<Signable, { size: bigint }>, timeMs: bigint) {
    const consistent = verifyConsistency({
      first: this.last.size,
      second: size,
      firstRoot: this.last.root,
      secondRoot: root,
      proof: consistencyProof,
    });
    if (!consistent || timeMs < this.lastTimeMs) {
      throw new Failure("guard-refused", `from ${this.last.size} to ${size}`);
    }
    this.last = { size, root };
    this.lastTimeMs = timeMs;
    this.signedTrees.push(this.last);
  }

  #sign(data: Uint8Array): Uint8Array {
    return new Uint8Array(signBytes("sha256", data, this.#privateKey));
  }
}

/** A CA's key that is only described. */
export interface DescribedCa {
  readonly publicKey: Uint8Array;
  readonly chain: readonly Uint8Array[];
}

/** The plugin that stands for the vault process: the keys of `vaults` by label, and of CAs that sign nothing here. */
export function vaultPlugin(
  vaults: { readonly [label: string]: TestVault },
  cas: { readonly [label: string]: DescribedCa } = {},
): Plugin {
  const find = (key: string): TestVault => {
    const vault = vaults[key];
    if (vault === undefined) throw new Failure("key-unavailable", `there is no key "${key}"`);
    return vault;
  };
  return definePlugin({
    name: "hsm",
    summary: "Signs for tests",
    config: v.strictObject({}),
    offers: [sign, describeKey, lastSigned, listOwnRoots],
    needs: [],
    emits: [],
    follows: [],
    reaches: [],
  }).implement(async () => ({
    handlers: {
      async sign({ key, signable }) {
        const vault = find(key);
        const fault = vault.fault(signable.purpose);
        if (fault?.kind === "fail" && fault.when === "before") {
          throw new Failure(fault.code, "a fault before");
        }
        // Longer than anybody waits, but not for ever: the kernel drains what runs.
        if (fault?.kind === "hang") await sleep(10_500);
        const answer = vault.sign(signable);
        if (fault?.kind === "fail") throw new Failure(fault.code, "a fault after");
        if (fault?.kind === "bad-signature") {
          const [first] = answer.signatures;
          if (first) first[first.length - 1] = (first.at(-1) ?? 0) ^ 1;
        }
        return answer;
      },
      async describeKey({ key }) {
        const ca = cas[key];
        if (ca) {
          const { publicKey, chain } = ca;
          return { algorithm: "ecdsa-p256" as const, publicKey, purposes: [], chain: [...chain] };
        }
        const { publicKey, origin } = find(key);
        const [noteName] = origin.split(" ");
        return {
          algorithm: "ecdsa-p256" as const,
          publicKey,
          purposes: [],
          origin,
          ...(noteName && { noteName }),
        };
      },
      lastSigned: async ({ key }) => find(key).last,
      listOwnRoots: async () => await Promise.resolve({ certificates: [] }),
    },
  }));
}
