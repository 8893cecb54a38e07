/** The rooms around issuer and ct, with keys in memory. They keep to the contract and complain when it is broken. */
import { randomBytes } from "node:crypto";
import * as v from "valibot";
import { sha256 } from "../../core/crypto/hash.ts";
import { encodeHex, encodeUtf8, equalBytes } from "../../core/formats/encoding.ts";
import { checkLeafTbs, unpoison } from "../../core/formats/leaf-profile.ts";
import {
  digitallySigned,
  formatSctList,
  merkleTreeLeaf,
  type SctEntry,
  sctSignatureInput,
} from "../../core/formats/sct.ts";
import { decodeVerdict, encodeVerdict } from "../../core/formats/verdict.ts";
import type { SignatureAlgorithm } from "../../core/formats/x509.ts";
import { definePlugin, type Plugin } from "../../core/plugin.ts";
import type { AnswerOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import {
  completeCertificate,
  describeKey,
  listOwnRoots,
  type Signable,
  sign,
} from "../../events/hsm.ts";
import { authenticate, type Principal, type Provenance } from "../../events/identity.ts";
import {
  appendEntry,
  type Candidate,
  findLeaf,
  latestHead,
  proveConsistency,
  proveInclusion,
  readEntries,
} from "../../events/log.ts";
import { type SoftAuthority, softAuthority, softKey, softSign } from "../crypto/soft-authority.ts";

/** When the tests take place, unless they move the clock. */
export const startMs = Date.UTC(2026, 10, 21, 12);

/** What a token says whose text is `good`. */
export const principal: Principal = {
  oidcIssuer: "https://idp.example",
  subject: "subject-1",
  challenge: "user@example.com",
  san: { kind: "email", value: "user@example.com" },
  extensions: [],
};

/** On what the verdict about it rests. */
export const provenance: Provenance = {
  provider: "email",
  providerVersion: "1",
  mappingSha256: sha256(new Uint8Array()),
  assurance: { acr: "high" },
  facets: [],
  decision: { rule: "default", policyVersion: "1", policySha256: sha256(Uint8Array.of(1)) },
};

/** Everything that tests look at and change. */
export interface Rooms {
  readonly clock: { at: number; now: () => Date };
  readonly authority: SoftAuthority;
  /** The algorithm of the authority's key. */
  readonly algorithm: SignatureAlgorithm;
  /** True if the vault signs certificates without an SCT list. */
  readonly bare: boolean;
  readonly logKey: ReturnType<typeof softKey>;
  /** What the vault was asked to sign, in order. */
  readonly signed: {
    readonly kind: "precertificate" | "certificate" | "bare";
    readonly tbs: Uint8Array;
  }[];
  /** The same as hashes, because nothing may be signed twice. */
  readonly signedHashes: Set<string>;
  /** What the vault remembers of precertificates, by the hash of what SCTs are over. */
  readonly precertificates: Map<string, Precertificate>;
  /** MerkleTreeLeaves of the log. */
  readonly entries: { readonly leaf: Uint8Array; readonly extraData: Uint8Array }[];
  /** Who is behind the token `good`. */
  principal: Principal;
  /** Replace what the log answers, or throw, as if the log had failed before it asked the vault for its promise. */
  onAppend: (answer: AnswerOf<typeof appendEntry>) => AnswerOf<typeof appendEntry>;
  /** Called when the vault has signed the promise, before the log answers: may throw. */
  afterPromise: () => void;
  /** Called before a signature is made: may throw. */
  onSign: (kind: "precertificate" | "certificate" | "bare") => void;
  readonly plugins: readonly Plugin[];
}

interface Precertificate {
  readonly verdict: Uint8Array;
  readonly listing: (list: Uint8Array) => Uint8Array;
  /** The list of the one SCT, once the log has asked for it. */
  readonly list: PromiseWithResolvers<Uint8Array>;
}

const stateless = { config: v.strictObject({}), needs: [], emits: [], follows: [], reaches: [] };

/** Rooms named identity, hsm and log. */
export function issuerRooms(
  given: Partial<Pick<Rooms, "authority" | "algorithm" | "bare">> = {},
): Rooms {
  const clock = { at: startMs, now: () => new Date(clock.at) };
  const rooms: Rooms = {
    clock,
    authority: given.authority ?? softAuthority(new Date(startMs)),
    algorithm: given.algorithm ?? "ecdsa-sha256",
    bare: given.bare ?? false,
    logKey: softKey(),
    signed: [],
    signedHashes: new Set(),
    precertificates: new Map(),
    entries: [],
    principal,
    onAppend: (answer) => answer,
    afterPromise: () => undefined,
    onSign: () => undefined,
    plugins: [],
  };
  return Object.assign(rooms, { plugins: [identity(rooms), vault(rooms), log(rooms)] });
}

function identity(rooms: Rooms): Plugin {
  return definePlugin({
    ...stateless,
    name: "identity",
    summary: "knows one good token",
    offers: [authenticate],
  }).implement(async () => {
    await Promise.resolve();
    return {
      handlers: {
        async authenticate({ idToken, publicKeyHash }) {
          await Promise.resolve();
          if (idToken === "refused" || idToken === "hurried") {
            const code = idToken === "refused" ? "policy-refused" : "rate-limited";
            const details = { principal: rooms.principal, provenance, retryAfterSeconds: 7 };
            throw new Failure(code, "the policy says no", { details });
          }
          if (idToken !== "good") throw new Failure("identity-rejected", "the token is not good");
          const verdict = encodeVerdict({
            principal: rooms.principal,
            tokenDigest: sha256(encodeUtf8(idToken)),
            publicKeyHash,
            verifiedAtMs: BigInt(rooms.clock.at),
            nonce: new Uint8Array(randomBytes(16)),
            provenance,
          });
          const sealed = { verdict, mac: sha256(verdict) };
          return { principal: rooms.principal, provenance, sealed };
        },
      },
    };
  });
}

function vault(rooms: Rooms): Plugin {
  return definePlugin({
    ...stateless,
    name: "hsm",
    summary: "signs with keys in memory",
    offers: [describeKey, listOwnRoots, sign, completeCertificate],
  }).implement(async ({ draining }) => {
    await Promise.resolve();
    const { authority, logKey } = rooms;
    draining.addEventListener("abort", () => {
      for (const { list } of rooms.precertificates.values()) {
        list.reject(new Failure("key-unavailable", "the vault ends"));
      }
    });
    return {
      handlers: {
        async describeKey({ key }) {
          await Promise.resolve();
          const described = { algorithm: "ecdsa-p256" as const, purposes: [] };
          if (key === "ct-log") return { ...described, publicKey: logKey.spki };
          if (key !== "issuing-ca") throw new Failure("key-unavailable", "no such key");
          return { ...described, publicKey: authority.issuing.spki, chain: [...authority.chain] };
        },
        listOwnRoots: async () => await Promise.resolve({ certificates: [] }),
        async sign({ key, signable }) {
          await Promise.resolve();
          if (key !== "issuing-ca") throw new Failure("key-unavailable", "no such key");
          return { signatures: [signLeaf(rooms, signable)] };
        },
        async completeCertificate({ key, precertificate, verdict, logs }) {
          const name = encodeHex(precertificate);
          const found = rooms.precertificates.get(name);
          if (key !== "issuing-ca" || found === undefined || !logs.includes("ct-log")) {
            throw new Failure("guard-refused", "no such precertificate");
          }
          if (!equalBytes(found.verdict, verdict)) {
            throw new Failure("guard-refused", "another verdict");
          }
          const scts = await found.list.promise;
          if (!rooms.precertificates.delete(name)) throw new Failure("guard-refused", "again");
          const tbs = found.listing(scts);
          rooms.signed.push({ kind: "certificate", tbs });
          rooms.onSign("certificate");
          const signature = softSign(rooms.authority.issuing, tbs, hashOf(rooms.algorithm));
          return { signature, scts };
        },
      },
    };
  });
}

/** Signs leaves that keep to the profile, each once, as the vault's guard would have it. */
function signLeaf(rooms: Rooms, signable: Signable): Uint8Array {
  if (signable.purpose !== "certificate") throw new Failure("purpose-refused", "only leaves");
  const { tbs } = signable;
  if (!equalBytes(sha256(signable.verdict.verdict), signable.verdict.mac)) {
    throw new Failure("purpose-refused", "the verdict is not identity's");
  }
  const now = rooms.clock.at;
  const { end, fields } = checkLeafTbs(tbs, {
    issuerName: rooms.authority.issuing.name,
    authorityKeyId: rooms.authority.issuing.keyId,
    signatureAlgorithm: rooms.algorithm,
    bare: rooms.bare,
    maxLifetimeSeconds: 600,
    notBeforeFrom: new Date(now - 30_000),
    notBeforeTo: new Date(now),
  });
  const { publicKeyHash } = decodeVerdict(signable.verdict.verdict);
  if (!equalBytes(sha256(fields.publicKey), publicKeyHash)) {
    throw new Failure("purpose-refused", "the verdict is for another key");
  }
  if (end.kind === "sctList") throw new Failure("purpose-refused", "SCTs are not handed in");
  const kind = kinds[end.kind];
  const once = encodeHex(sha256(tbs));
  if (rooms.signedHashes.has(once)) throw new Failure("guard-refused", "signed before");
  rooms.signedHashes.add(once);
  rooms.signed.push({ kind, tbs });
  rooms.onSign(kind);
  if (kind === "precertificate") remember(rooms, tbs, signable.verdict.verdict);
  return softSign(rooms.authority.issuing, tbs, hashOf(rooms.algorithm));
}

const kinds = { poison: "precertificate", none: "bare" } as const;

function remember({ precertificates }: Rooms, tbs: Uint8Array, verdict: Uint8Array): void {
  const { bare, listing } = unpoison(tbs);
  const list = Promise.withResolvers<Uint8Array>();
  // Nobody may ever ask.
  list.promise.catch(() => undefined);
  precertificates.set(encodeHex(sha256(bare)), { verdict: sha256(verdict), listing, list });
}

function hashOf(algorithm: SignatureAlgorithm): string {
  return algorithm === "ecdsa-sha384" ? "sha384" : "sha256";
}

function log(rooms: Rooms): Plugin {
  return definePlugin({
    ...stateless,
    name: "log",
    summary: "keeps entries in memory",
    offers: [appendEntry, readEntries, findLeaf, latestHead, proveInclusion, proveConsistency],
  }).implement(async () => {
    await Promise.resolve();
    const unused = async (): Promise<never> => {
      await Promise.resolve();
      throw new Failure("not-found", "not in these tests");
    };
    return {
      handlers: {
        async appendEntry({ entry }) {
          await Promise.resolve();
          const answer = append(rooms, entry);
          const given = rooms.onAppend(answer);
          promise(rooms, entry, answer);
          rooms.afterPromise();
          return given;
        },
        readEntries: unused,
        findLeaf: unused,
        latestHead: unused,
        proveInclusion: unused,
        proveConsistency: unused,
      },
    };
  });
}

function append(rooms: Rooms, candidate: Candidate): AnswerOf<typeof appendEntry> {
  if (candidate.kind === "body") throw new Failure("internal", "a CT log takes no bodies");
  const { extraData, ...what } = candidate;
  const timestampMs = BigInt(rooms.clock.at);
  const entry: SctEntry = { ...what, timestampMs };
  const leaf = merkleTreeLeaf(entry);
  const index = BigInt(rooms.entries.length);
  rooms.entries.push({ leaf, extraData });
  const leafHash = sha256(Uint8Array.of(0, ...leaf));
  return {
    index,
    leafHash,
    logId: sha256(rooms.logKey.spki),
    integratedAtMs: timestampMs,
    promise: digitallySigned(softSign(rooms.logKey, sctSignatureInput(entry))),
    known: false,
    head: { size: index + 1n, root: leafHash, checkpoint: "" },
    inclusionProof: [],
  };
}

/** The vault has signed the log's promise. */
function promise(
  { precertificates }: Rooms,
  entry: Candidate,
  { logId, integratedAtMs: timestampMs, promise: signature }: AnswerOf<typeof appendEntry>,
): void {
  if (entry.kind !== "precertificate" || signature === undefined) return;
  const sct = { logId, timestampMs, extensions: new Uint8Array(), signature };
  precertificates.get(encodeHex(sha256(entry.tbs)))?.list.resolve(formatSctList([sct]));
}
