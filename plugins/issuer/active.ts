/**
 * Which CA issues: the configured one until an operator puts another into use. The choice and every chain that was ever in use are one
 * row, written before the first certificate of the new CA.
 */
import * as v from "valibot";
import {
  decodeBase64,
  decodeUtf8,
  encodeBase64,
  encodeUtf8,
  equalBytes,
} from "../../core/formats/encoding.ts";
import { parseJson } from "../../core/formats/json.ts";
import { Failure } from "../../events/failure.ts";
import { describeKey } from "../../events/hsm.ts";
import { type Authority, readAuthority } from "./authority.ts";
import type { IssuerContext } from "./issuance.ts";

const row = v.strictObject({
  version: v.literal(1),
  /** The configuration's key at that time: if an operator configures another one later, that counts. */
  configured: v.string(),
  active: v.string(),
  activatedAtMs: v.pipe(v.number(), v.safeInteger()),
  /** Of the CAs before it, newest first, each certificate base64 DER. */
  earlier: v.array(v.array(v.string())),
});

/** The CA in use and those before it. */
export interface Active {
  readonly authority: Authority;
  readonly activatedAtMs: number | null;
  /** Chains of CAs that were in use before, newest first. */
  readonly earlier: readonly (readonly Uint8Array[])[];
}

type Store = Awaited<ReturnType<IssuerContext["stores"]["open"]>>;
type Asking = Pick<IssuerContext, "ask" | "config">;

/** The table `clock` is that of single rows; homes of older releases have no other. */
const table = "clock";
const activeKey = encodeUtf8("active");

/** Reads which CA is in use. @throws {Failure} key-unavailable if the vault has no chain for it */
export async function readActive(store: Store, asking: Asking): Promise<Active> {
  const value = await store.get(table, activeKey);
  const read = value === null ? null : v.parse(row, parseJson(decodeUtf8(value)));
  if (read === null || read.configured !== asking.config.key) {
    const authority = await describe(asking, asking.config.key);
    return { authority, activatedAtMs: null, earlier: [] };
  }
  return {
    authority: await describe(asking, read.active),
    activatedAtMs: read.activatedAtMs,
    earlier: read.earlier.map((chain) => chain.map(decodeBase64)),
  };
}

/**
 * Puts another CA into use, durably.
 *
 * @throws {Failure} operation-refused if it is not one that leaves can be issued by now; nothing has changed then.
 */
export async function activate(
  store: Store,
  asking: Asking,
  { now, label, nowMs }: { readonly now: Active; readonly label: string; readonly nowMs: number },
): Promise<Active> {
  const authority = await describe(asking, label).catch((thrown: unknown) => {
    const { message } = Failure.from(thrown);
    throw new Failure("operation-refused", `"${label}" cannot issue: ${message}`, {
      cause: thrown,
    });
  });
  const lastLeafEndsMs = nowMs + asking.config.lifetimeSeconds * 1_000;
  if (authority.notBefore.getTime() > nowMs || authority.notAfter.getTime() < lastLeafEndsMs) {
    throw new Failure("operation-refused", `the certificate of "${label}" is not valid now`);
  }
  const root = authority.chain.at(-1);
  const before = now.authority.chain.at(-1);
  // A CA that is its own root is followed by another that is: the vault certifies none beside a CA that has one above it.
  const areOwnRoots = authority.chain.length === 1 && now.authority.chain.length === 1;
  if (!root || !before || (!areOwnRoots && !equalBytes(root, before))) {
    throw new Failure("operation-refused", `"${label}" is below another root than the CA in use`);
  }
  const earlier = [now.authority.chain, ...now.earlier];
  const value: v.InferOutput<typeof row> = {
    version: 1,
    configured: asking.config.key,
    active: label,
    activatedAtMs: nowMs,
    earlier: earlier.map((chain) => chain.map(encodeBase64)),
  };
  // Killed before this commit, the next start issues with the CA before; after it, with the new one.
  await store.commit({
    writes: [{ table, key: activeKey, value: encodeUtf8(JSON.stringify(value)) }],
  });
  return { authority, activatedAtMs: nowMs, earlier };
}

/** An issuing key as the vault has it. @throws {Failure} key-unavailable */
export async function describe({ ask, config }: Asking, label: string): Promise<Authority> {
  const [issuing, ...logs] = await Promise.all([
    ask(describeKey, { key: label }),
    ...logKeysOf(config).map(async (key) => await ask(describeKey, { key })),
  ]);
  return readAuthority(label, issuing, ...logs);
}

/** Labels of the logs' keys. */
export function logKeysOf({ logKey }: Pick<IssuerContext["config"], "logKey">): string[] {
  return typeof logKey === "string" ? [logKey] : logKey;
}
