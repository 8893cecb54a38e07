/** The audit room behind an issuer and logs that say what a test has them say. They keep to the contract. */
import { randomBytes } from "node:crypto";
import * as v from "valibot";
import { sha256 } from "../../core/crypto/hash.ts";
import { encodeBase64, encodeUtf8 } from "../../core/formats/encoding.ts";
import { merkleTreeLeaf } from "../../core/formats/sct.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { definePlugin, emit, type Store } from "../../core/plugin.ts";
import type { StorageDriver } from "../../core/storage.ts";
import type { BodyOf } from "../../events/contract.ts";
import { idTokenIssued, signInsRefused } from "../../events/idp.ts";
import { certificateIssued, certificateRefused, refusalsCounted } from "../../events/issuer.ts";
import { entriesAppended, readEntries } from "../../events/log.ts";
import { formatPem } from "../../core/formats/pem.ts";
import audit from "../../plugins/audit/plugin.ts";
import { fsckAudit } from "../../plugins/audit/fsck.ts";
import { readTrail } from "../../plugins/audit/lookup.ts";
import { bootForTest } from "../support/boot.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { boxKey, sigstoreBox } from "../support/sigstore-box.ts";
import { provenance } from "./issuer-rooms.ts";

/** When the tests take place. */
export const at = new Date(Date.UTC(2026, 10, 21, 12));
const logNames = ["ct", "rekor"];

type IssuerStore = Store<
  readonly [typeof certificateIssued, typeof certificateRefused, typeof refusalsCounted]
>;
type IdpStore = Store<readonly [typeof idTokenIssued, typeof signInsRefused]>;
type LogStore = Store<readonly [typeof entriesAppended]>;

/** A certificate of a made-up authority for the name. */
export function certify(san: string) {
  const box = sigstoreBox(new Date(at.getTime() - 86_400_000));
  const key = boxKey();
  const der = box.certify(key.spki, {
    san: { kind: "email", value: san },
    oidcIssuer: "https://idp.example",
    at,
  });
  return { key, san, ...parseCertificate(der) };
}

type Leaf = ReturnType<typeof certify>;

/** Boots the room among them; what is in `storage` is kept. */
export async function bootAudit(storage: StorageDriver = memoryStorage()) {
  const stores: { issuer?: IssuerStore; idp?: IdpStore; logs: Map<string, LogStore> } = {
    logs: new Map(),
  };
  const journalled: { event: string; fields: object }[] = [];
  const tell = (event: string, fields: object = {}) => void journalled.push({ event, fields });
  const house = await bootForTest({
    entries: [audit, issuerRoom(stores), idpRoom(stores), logRoom(stores)],
    storage,
    journal: () => ({ info: tell, warn: tell, error: tell }),
  });
  const append = async (log: string, ...entries: readonly Uint8Array[]) => {
    const store = stores.logs.get(log);
    const from = BigInt((await store?.scan("entries", { limit: 10_000 }))?.length ?? 0);
    await store?.commit({
      writes: entries.map((value, offset) => ({
        table: "entries",
        key: encodeUtf8(String(from + BigInt(offset)).padStart(8, "0")),
        value,
      })),
      facts: [emit(entriesAppended, { log, from, to: from + BigInt(entries.length) })],
    });
  };
  return {
    house,
    storage,
    journalled,
    append,
    issued: async (leaf: Leaf, change: Partial<BodyOf<typeof certificateIssued>> = {}) =>
      await stores.issuer?.commit({
        writes: [
          { table: "outcomes", key: leaf.serial, value: encodeUtf8(`{"outcome":"issued"}`) },
        ],
        facts: [emit(certificateIssued, { ...issuedFact(leaf), ...change })],
      }),
    refused: async (change: Partial<BodyOf<typeof certificateRefused>> = {}) =>
      await stores.issuer?.commit({ facts: [emit(certificateRefused, { ...refusal, ...change })] }),
    signedIn: async (fact: BodyOf<typeof idTokenIssued>) =>
      await stores.idp?.commit({ facts: [emit(idTokenIssued, fact)] }),
    signInsRefused: async (fact: BodyOf<typeof signInsRefused>) =>
      await stores.idp?.commit({ facts: [emit(signInsRefused, fact)] }),
    counted: async (fact: BodyOf<typeof refusalsCounted>) =>
      await stores.issuer?.commit({ facts: [emit(refusalsCounted, fact)] }),
    [Symbol.asyncDispose]: async () => await house.dispose(),
  };
}

/** A running house. */
export type AuditHouse = Awaited<ReturnType<typeof bootAudit>>;

/** The trail as it is stored, once it has this many records. */
export async function trailOf(storage: StorageDriver, records: number) {
  const trail = readTrail(await storage.openReader("audit"));
  for (let tries = 0; (await trail.head()).sequence < records; tries++) {
    if (tries > 3_000) throw new Error(`the trail has ${(await trail.head()).sequence} records`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return trail;
}

/** `fsck` of the room among its neighbours. */
export async function fsck(storage: StorageDriver) {
  const logs = await Promise.all(
    logNames.map(async (name) => [`log/${name}`, await storage.openReader(`log-${name}`)] as const),
  );
  return await fsckAudit({
    audit: await storage.openReader("audit"),
    issuer: await storage.openReader("issuer"),
    idp: await storage.openReader("idp"),
    logs: new Map(logs),
    isIssued: (row) => new TextDecoder().decode(row).includes("issued"),
  });
}

/** The CT entry of a certificate, as one that is complete. */
export function ctLeaf(
  { der, tbs }: Leaf,
  of: "precertificate" | "certificate" = "precertificate",
) {
  const what =
    of === "certificate"
      ? { kind: of, certificate: der }
      : { kind: of, tbs, issuerKeyHash: new Uint8Array(32) };
  return merkleTreeLeaf({ ...what, timestampMs: BigInt(at.getTime()) });
}

/** A hashedrekord 0.0.1 of an artifact. */
export function hashedRekord(der: Uint8Array, digest: Uint8Array, label = "CERTIFICATE") {
  const content = encodeBase64(encodeUtf8(formatPem(label, der)));
  const hash = { algorithm: "sha256", value: digest.toHex() };
  const spec = { data: { hash }, signature: { content: "AA==", publicKey: { content } } };
  return encodeUtf8(JSON.stringify({ apiVersion: "0.0.1", kind: "hashedrekord", spec }));
}

/** The same in Rekor v2. */
export function hashedRekordV2(der: Uint8Array, digest: Uint8Array) {
  const verifier = { x509Certificate: { rawBytes: encodeBase64(der) } };
  const hashedRekordV002 = {
    data: { algorithm: "SHA2_256", digest: encodeBase64(digest) },
    signature: { content: "AA==", verifier },
  };
  const body = { apiVersion: "0.0.2", kind: "hashedrekord", spec: { hashedRekordV002 } };
  return encodeUtf8(JSON.stringify(body));
}

const refusal: BodyOf<typeof certificateRefused> = {
  code: "policy-refused",
  reason: "not-me: not this one",
  oidcIssuer: "https://idp.example",
  subject: "subject-1",
  san: "alice@example.com",
  sanKind: "email",
  extensions: [],
  tokenDigest: sha256(Uint8Array.of(1)),
  refusedAtMs: BigInt(at.getTime()),
  requestId: "c".repeat(32),
  provenance,
};

function issuedFact(leaf: Leaf): BodyOf<typeof certificateIssued> {
  return {
    serial: leaf.serial,
    oidcIssuer: "https://idp.example",
    subject: "subject-1",
    san: leaf.san,
    tokenDigest: new Uint8Array(randomBytes(32)),
    publicKeyHash: sha256(leaf.publicKey),
    certificate: leaf.der,
    ctTimestampMs: BigInt(at.getTime()),
    issuedAtMs: BigInt(at.getTime()),
    requestId: "b".repeat(32),
    provenance,
  };
}

const bare = { config: v.strictObject({}), needs: [], follows: [], reaches: [] };

function issuerRoom(stores: { issuer?: IssuerStore }) {
  return definePlugin({
    ...bare,
    name: "issuer",
    summary: "says what a test has it say",
    offers: [],
    emits: [certificateIssued, certificateRefused, refusalsCounted],
    keeps: { tables: ["outcomes", "intents"] },
  }).implement(async (context) => {
    stores.issuer = await context.stores.open();
    return { handlers: {} };
  });
}

function idpRoom(stores: { idp?: IdpStore }) {
  return definePlugin({
    ...bare,
    name: "idp",
    summary: "signs in whom a test has it sign in",
    offers: [],
    emits: [idTokenIssued, signInsRefused],
    keeps: { tables: [] },
  }).implement(async (context) => {
    stores.idp = await context.stores.open();
    return { handlers: {} };
  });
}

function logRoom({ logs }: { readonly logs: Map<string, LogStore> }) {
  return definePlugin({
    ...bare,
    name: "log",
    summary: "keeps what a test appends",
    offers: [readEntries],
    emits: [entriesAppended],
    keeps: { tables: ["entries"], partitioned: true },
    partitions: () => logNames,
  }).implement(async (context) => {
    for (const name of logNames) logs.set(name, await context.stores.open(name));
    return {
      handlers: {
        async readEntries({ log, from, limit }) {
          const rows = (await logs.get(log)?.scan("entries", { limit: 10_000 })) ?? [];
          const some = rows.slice(Number(from), Number(from) + Math.min(limit, 3));
          return {
            entries: some.map(({ value }, offset) => ({
              index: from + BigInt(offset),
              entry: value,
              extraData: new Uint8Array(),
              integratedAtMs: BigInt(at.getTime()),
            })),
          };
        },
      },
    };
  });
}
