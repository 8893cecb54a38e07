/** Issuer and ct among rooms whose keys are in memory, and a requester. */
import * as der from "../../core/formats/der.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { decode } from "../../core/wire.ts";
import { factsAfter } from "../../events/contract.ts";
import { issueCertificate, type RefusalCount } from "../../events/issuer.ts";
import ct from "../../plugins/ct/plugin.ts";
import issuer from "../../plugins/issuer/plugin.ts";
import { type SoftKeyPair, softKey, softSign } from "../crypto/soft-authority.ts";
import { bootForTest } from "../support/boot.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { issuerRooms, principal, type Rooms } from "./issuer-rooms.ts";

/** The requester's key. */
export const key = softKey();

/** Boots issuer and ct among {@link issuerRooms}. */
export async function boot(
  rooms: Rooms = issuerRooms(),
  storage = memoryStorage(),
  config: object = {},
) {
  const installation = await bootForTest({
    entries: [issuer, ct, ...rooms.plugins],
    clock: rooms.clock,
    storage,
    config: { issuer: config },
  });
  return {
    rooms,
    storage,
    installation,
    issue: async (change: object = {}) =>
      await installation.ask(issueCertificate, { idToken: "good", proof: prove(key), ...change }),
    facts: async () => {
      const stream = { stream: "main", after: 0n, limit: 1_000 };
      const { facts } = await installation.ask(factsAfter("issuer"), stream);
      return facts.map(({ name, body }) => ({ name, body: decode(body) as Fact }));
    },
    [Symbol.asyncDispose]: async () => await installation.dispose(),
  };
}

/** The facts as they are in the store. */
export async function factsIn(storage: ReturnType<typeof memoryStorage>) {
  await using reader = await storage.openReader("issuer");
  return (await reader.read("facts", 0n, 1_000)).map(({ value }) => {
    const { name, body } = decode(value) as { name: string; body: Uint8Array };
    return { name, body: decode(body) as Fact };
  });
}

/** The members of both facts that are looked at. */
export interface Fact {
  readonly code?: string;
  readonly reason?: string;
  readonly serial?: Uint8Array;
  readonly subject?: string;
  readonly tokenDigest: Uint8Array;
  readonly certificate?: Uint8Array;
  readonly provenance?: unknown;
  readonly requestId?: string;
  readonly refusals?: readonly RefusalCount[];
}

/** A proof of possession over the challenge. */
export function prove(pair: SoftKeyPair, challenge = principal.challenge, hash = "sha256") {
  const possession = softSign(pair, encodeUtf8(challenge), hash);
  return { kind: "possession" as const, publicKey: pair.spki, possession };
}

/** A certificate request that signs itself. */
export function request(pair: SoftKeyPair, oid = "1.2.840.10045.4.3.2", hash = "sha256") {
  const info = der.sequence(
    der.integer(0n),
    der.sequence(),
    pair.spki,
    der.implicit(0, new Uint8Array(), true),
  );
  const signature = softSign(pair, info, hash);
  const bytes = der.sequence(info, der.sequence(der.oid(oid)), der.bitString(signature));
  return { kind: "request" as const, request: bytes };
}

/** The rows of one of the issuer's tables. */
export async function rows(storage: ReturnType<typeof memoryStorage>, table: string) {
  await using reader = await storage.openReader("issuer");
  return await reader.scan(table, { limit: 1_000 });
}
