/** A repository as a ceremony leaves it, and a vault for the two online keys that complains when a version is used twice. */
import { createHash, generateKeyPairSync, sign as signBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { encodeHex, encodeUtf8 } from "../../../core/formats/encoding.ts";
import { type JsonValue, parseJson } from "../../../core/formats/json.ts";
import * as tuf from "../../../core/formats/tuf.ts";
import { definePlugin, type Plugin } from "../../../core/plugin.ts";
import { Failure } from "../../../events/failure.ts";
import { describeKey, sign } from "../../../events/hsm.ts";

/** A P-256 key in memory. */
export interface TestKey {
  readonly spki: Uint8Array;
  readonly tufKey: tuf.TufKey;
  sign(signed: JsonValue): tuf.RoleSignature;
}

/** Makes a key. */
export function testKey(): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  const tufKey = tuf.tufKey(spki);
  return {
    spki,
    tufKey,
    sign: (signed) => ({
      keyid: tufKey.keyid,
      sig: encodeHex(new Uint8Array(signBytes("sha256", tuf.signedBytes(signed), privateKey))),
    }),
  };
}

/** What the demo publishes, more or less. */
export const targetFiles: { readonly [name: string]: Uint8Array } = {
  "trusted_root.json": encodeUtf8('{"mediaType":"application/vnd.dev.sigstore.trustedroot"}\n'),
  "signing_config.v0.2.json": encodeUtf8("{}\n"),
};

/** When the genesis of the tests expires. */
const genesisExpires = new Date("2036-01-01T00:00:00Z");

/** A home with version 1 of root and targets; dispose removes it. */
export class TestHome implements Disposable {
  readonly path: string;
  readonly directory: string;
  readonly #root: TestKey;
  readonly #targets: TestKey;
  readonly #online: { readonly snapshot: Uint8Array; readonly timestamp: Uint8Array };

  constructor(online: { snapshot: Uint8Array; timestamp: Uint8Array }, path?: string) {
    this.path = path ?? mkdtempSync(join(tmpdir(), "chancery-trust-"));
    this.directory = join(this.path, "trust", "tuf");
    this.#root = testKey();
    this.#targets = testKey();
    this.#online = online;
    mkdirSync(join(this.directory, "targets"), { recursive: true });
    this.writeRoot(1);
    this.writeTargets(1);
  }

  /** The key for targets, which ceremonies have. */
  get targetsKey(): TestKey {
    return this.#targets;
  }

  /** The key for roots, which ceremonies have. */
  get rootKey(): TestKey {
    return this.#root;
  }

  /** A file of the repository. */
  read(name: string): string {
    return readFileSync(join(this.directory, name), "utf8");
  }

  /** Writes a root, signed by the root key and whoever else. */
  writeRoot(
    version: number,
    {
      online = this.#online,
      signers = [this.#root],
      expires = genesisExpires,
    }: {
      readonly online?: { readonly snapshot: Uint8Array; readonly timestamp: Uint8Array };
      readonly signers?: readonly TestKey[];
      readonly expires?: Date;
    } = {},
  ): void {
    const keys = {
      root: this.#root.tufKey,
      targets: this.#targets.tufKey,
      snapshot: tuf.tufKey(online.snapshot),
      timestamp: tuf.tufKey(online.timestamp),
    };
    const only = ({ keyid }: tuf.TufKey) => ({ keyids: [keyid], threshold: 1 });
    const signed = tuf.rootRole({
      version,
      expires,
      keys: Object.values(keys),
      roles: {
        root: only(keys.root),
        targets: only(keys.targets),
        snapshot: only(keys.snapshot),
        timestamp: only(keys.timestamp),
      },
    });
    this.write(`${version}.root.json`, signed, signers);
  }

  /** Writes targets metadata and the files they name. */
  writeTargets(version: number, files = targetFiles, signers = [this.#targets]): void {
    const targets = Object.entries(files).map(([name, content]) => ({
      name,
      length: content.length,
      sha256: new Uint8Array(createHash("sha256").update(content).digest()),
    }));
    for (const { name, sha256 } of targets) {
      const path = join(this.directory, "targets", `${encodeHex(sha256)}.${name}`);
      writeFileSync(path, files[name] ?? new Uint8Array());
    }
    const signed = tuf.targetsRole({ version, expires: genesisExpires, targets });
    this.write(`${version}.targets.json`, signed, signers);
  }

  write(name: string, signed: JsonValue, signers: readonly TestKey[]): void {
    const signatures = signers.map((signer) => signer.sign(signed));
    writeFileSync(join(this.directory, name), tuf.formatSignedRole(signed, signatures));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** The vault's two online keys in memory. */
export interface FakeVault {
  readonly plugin: Plugin;
  readonly keys: { readonly snapshot: TestKey; readonly timestamp: TestKey };
  /** Versions signed so far, by role, in order. */
  readonly signed: { readonly role: string; readonly version: number }[];
  fail(failure: Failure | null): void;
}

/** A vault that signs snapshots and timestamps, each version once and none below an earlier one. */
export function fakeVault(): FakeVault {
  const keys = { snapshot: testKey(), timestamp: testKey() };
  const signed: { readonly role: string; readonly version: number }[] = [];
  let failure: Failure | null = null;
  const find = (label: string) => {
    if (failure !== null) throw failure;
    if (label === "tuf-snapshot") return keys.snapshot;
    if (label === "tuf-timestamp") return keys.timestamp;
    throw new Failure("key-unavailable", "no such key");
  };
  const plugin = hsmManifest.implement(async () => ({
    handlers: {
      async describeKey({ key }) {
        const { spki } = find(key);
        return { algorithm: "ecdsa-p256", publicKey: spki, purposes: ["tufRole"] };
      },
      async sign({ key, signable }) {
        const signer = find(key);
        if (signable.purpose !== "tufRole") throw new Failure("purpose-refused", "only TUF roles");
        const role = parseJson(signable.role);
        const { type, version } = tufHead(role);
        if (signed.some((before) => before.role === type && before.version >= version)) {
          throw new Failure("guard-refused", `${type} ${version} was signed before`);
        }
        signed.push({ role: type, version });
        const { sig } = signer.sign(role);
        return { signatures: [Uint8Array.fromHex(sig)], signed: tuf.signedBytes(role) };
      },
    },
  }));
  return {
    plugin,
    keys,
    signed,
    fail: (next) => {
      failure = next;
    },
  };
}

const hsmManifest = definePlugin({
  name: "hsm",
  summary: "For tests",
  config: v.strictObject({}),
  offers: [sign, describeKey],
  needs: [],
  emits: [],
  follows: [],
  reaches: [],
});

const headSchema = v.looseObject({ _type: v.string(), version: v.number() });

function tufHead(role: JsonValue) {
  const { _type: type, version } = v.parse(headSchema, role);
  return { type, version };
}
