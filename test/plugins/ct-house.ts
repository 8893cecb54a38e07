/** A CT log of two shards behind a real door, and a client that knows RFC 6962 and nothing of ours. */
import { createHash, createPublicKey, verify, X509Certificate } from "node:crypto";
import { expect } from "vitest";
import * as der from "../../core/formats/der.ts";
import {
  type Extension,
  extensionOids,
  formatCertificate,
  formatName,
  formatTbs,
  parseCertificate,
} from "../../core/formats/x509.ts";
import type { StorageDriver } from "../../core/storage.ts";
import ct from "../../plugins/ct/plugin.ts";
import log from "../../plugins/log/plugin.ts";
import { codeSigning, softAuthority, softKey, softSign } from "../crypto/soft-authority.ts";
import { leafOf, mth } from "../formats/naive-merkle.ts";
import { bootDoor, type Door } from "../support/door.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { TestVault, vaultPlugin } from "./log-vault.ts";

const day = 86_400_000;

/** What outlives a restart. */
export class CtHouse {
  readonly authority = softAuthority(new Date());
  readonly vaults = { "key-a": new TestVault("a.example"), "key-b": new TestVault("b.example") };
  /** The end of shard `ct-a` and the start of `ct-b`. */
  readonly border = new Date(Math.floor(Date.now() / day) * day + 30 * day);
  readonly storage: StorageDriver = memoryStorage();

  async open(): Promise<Door> {
    const border = this.border.toISOString().slice(0, 10);
    const { issuing, chain } = this.authority;
    const vault = vaultPlugin(this.vaults, {
      "issuing-ca": { publicKey: issuing.spki, chain },
    });
    return await bootDoor(
      {},
      {
        plugins: [ct, log, vault],
        storage: this.storage,
        config: {
          hsm: {},
          ct: {
            shards: [
              { log: "ct-a", end: border },
              { log: "ct-b", start: border },
            ],
          },
          log: {
            logs: [
              { name: "ct-a", format: "rfc6962", key: "key-a" },
              { name: "ct-b", format: "rfc6962", key: "key-b" },
            ],
          },
        },
      },
    );
  }

  /** A fresh leaf that ends at `notAfter`, and its precertificate, each with the chain above it. */
  chains(notAfter: Date): { readonly final: string[]; readonly precertificate: string[] } {
    const { issuing } = this.authority;
    const fields = {
      serial: Uint8Array.of(0x40, ...crypto.getRandomValues(new Uint8Array(15))),
      signatureAlgorithm: "ecdsa-sha256" as const,
      issuer: issuing.name,
      subject: formatName({ commonName: "leaf" }),
      notBefore: new Date(notAfter.getTime() - 600_000),
      notAfter,
      publicKey: softKey().spki,
    };
    const made = (...extensions: readonly Extension[]): string[] => {
      const tbs = formatTbs({ ...fields, extensions });
      const leaf = formatCertificate(tbs, "ecdsa-sha256", softSign(issuing, tbs));
      return [leaf, issuing.der].map((one) => Buffer.from(one).toString("base64"));
    };
    return { final: made(codeSigning), precertificate: made(codeSigning, poison) };
  }
}

const poison: Extension = { oid: extensionOids.poison, critical: true, value: der.nullValue() };

/** An answer of add-chain, as RFC 6962 §4.1 has it. */
export interface SctJson {
  readonly sct_version: number;
  readonly id: string;
  readonly timestamp: number;
  readonly extensions: string;
  readonly signature: string;
}

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

/** TLS DigitallySigned of ECDSA with SHA-256 (RFC 5246 §4.7), read by hand. */
export function expectSigned(data: Uint8Array, signed: string, spki: Uint8Array): void {
  const bytes = Buffer.from(signed, "base64");
  expect([...bytes.subarray(0, 2)]).toEqual([4, 3]);
  expect(bytes.readUInt16BE(2)).toBe(bytes.length - 4);
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  expect(verify("sha256", data, key, bytes.subarray(4))).toBe(true);
}

const uint = (value: number, length: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes.subarray(8 - length);
};
const opaque = (length: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([uint(bytes.length, length), bytes]);

/** What the SCT of a chain signs, written down from RFC 6962 §3.2; it is also the MerkleTreeLeaf (§3.4). */
export function signedBySct(
  { timestamp }: SctJson,
  [leaf = "", issuer = ""]: readonly string[],
  isPrecertificate: boolean,
): Buffer {
  const head = Buffer.concat([Buffer.of(0, 0), uint(timestamp, 8)]);
  const bytes = Buffer.from(leaf, "base64");
  const none = uint(0, 2);
  if (!isPrecertificate) return Buffer.concat([head, uint(0, 2), opaque(3, bytes), none]);
  const spki = new X509Certificate(Buffer.from(issuer, "base64")).publicKey.export({
    format: "der",
    type: "spki",
  });
  const parsed = parseCertificate(bytes);
  const tbs = formatTbs({
    ...parsed,
    signatureAlgorithm: "ecdsa-sha256",
    extensions: parsed.extensions.filter(({ oid }) => oid !== extensionOids.poison),
  });
  return Buffer.concat([head, uint(1, 2), sha256(spki), opaque(3, tbs), none]);
}

/** Reads a whole log as a monitor does, and believes nothing that it has not computed. Answers the leaf hashes. */
export async function monitor(base: string, spki: Uint8Array): Promise<Uint8Array[]> {
  const sth = await getJson<{
    tree_size: number;
    timestamp: number;
    sha256_root_hash: string;
    tree_head_signature: string;
  }>(`${base}/get-sth`);
  const root = Buffer.from(sth.sha256_root_hash, "base64");
  const head = Buffer.concat([
    Buffer.of(0, 1),
    uint(sth.timestamp, 8),
    uint(sth.tree_size, 8),
    root,
  ]);
  expectSigned(head, sth.tree_head_signature, spki);
  const leaves: Uint8Array[] = [];
  while (leaves.length < sth.tree_size) {
    // As rekor-monitor does, one past the last index.
    const query = `start=${leaves.length}&end=${sth.tree_size}`;
    const { entries } = await getJson<{ entries: { leaf_input: string; extra_data: string }[] }>(
      `${base}/get-entries?${query}`,
    );
    expect(entries.length).toBeGreaterThan(0);
    const checked = entries.map(
      async ({ leaf_input: input, extra_data: extra }, at) =>
        await checkEntry(base, { input, extra, spki, again: at % 16 === 0 }),
    );
    leaves.push(...(await Promise.all(checked)));
  }
  expect(leaves).toHaveLength(sth.tree_size);
  expect(Buffer.from(mth(leaves)).equals(root)).toBe(true);
  return leaves;
}

/** The entry parses, its chain holds, and submitted again it has an SCT that is signed over this very leaf. */
async function checkEntry(
  base: string,
  entry: {
    readonly input: string;
    readonly extra: string;
    readonly spki: Uint8Array;
    readonly again: boolean;
  },
): Promise<Uint8Array> {
  const leaf = Buffer.from(entry.input, "base64");
  const timestamp = Number(leaf.readBigUInt64BE(2));
  const isPrecertificate = leaf.readUInt16BE(10) === 1;
  const chain = chainOf(leaf, Buffer.from(entry.extra, "base64"), isPrecertificate);
  for (const [at, one] of chain.entries()) {
    const above = new X509Certificate(chain[at + 1] ?? one);
    expect(new X509Certificate(one).verify(above.publicKey)).toBe(true);
  }
  if (!entry.again) return leafOf(leaf);
  const texts = chain.map((one) => one.toString("base64"));
  const name = isPrecertificate ? "add-pre-chain" : "add-chain";
  const { status, json: sct } = await postChain(`${base}/${name}`, texts);
  expect([status, sct.timestamp, sct.extensions, sct.sct_version]).toEqual([200, timestamp, "", 0]);
  expect(sct.id).toBe(sha256(entry.spki).toString("base64"));
  expect(signedBySct(sct, texts, isPrecertificate).equals(leaf)).toBe(true);
  expectSigned(leaf, sct.signature, entry.spki);
  return leafOf(leaf);
}

/** extra_data (RFC 6962 §4.6): the chain, for a precertificate with itself before it. */
function chainOf(leaf: Buffer, extra: Buffer, isPrecertificate: boolean): Buffer[] {
  const own = isPrecertificate ? extra : leaf.subarray(12);
  const length = own.readUIntBE(0, 3);
  const chain = [own.subarray(3, 3 + length)];
  const rest = isPrecertificate ? extra.subarray(3 + length) : extra;
  expect(rest.readUIntBE(0, 3)).toBe(rest.length - 3);
  for (let at = 3; at < rest.length;) {
    const end = at + 3 + rest.readUIntBE(at, 3);
    chain.push(rest.subarray(at + 3, end));
    at = end;
  }
  return chain;
}

/** GETs JSON that must be there. */
export async function getJson<T>(url: string): Promise<T> {
  const response = await fetch(url);
  const text = await response.text();
  expect([response.status, response.headers.get("content-type")], text).toEqual([
    200,
    "application/json",
  ]);
  return JSON.parse(text) as T;
}

/** POSTs a chain. */
export async function postChain(
  url: string,
  chain: readonly string[],
): Promise<{ readonly status: number; readonly text: string; readonly json: SctJson }> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ chain }),
  });
  const text = await response.text();
  return { status: response.status, text, json: (response.ok ? JSON.parse(text) : {}) as SctJson };
}
