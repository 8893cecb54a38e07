/**
 * Tokens that are taken once. The row of a token is durable before its verdict is given, and a second commit of the same row fails,
 * so of any number of uses at once one wins, in this process or another. Rows outlive the token by more than any skew.
 */
import { createHash } from "node:crypto";
import { concat, encodeUtf8, uintBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Store } from "../../core/plugin.ts";
import { Conflict } from "../../core/storage.ts";
import type { Claims } from "./id-token.ts";

/** Remembers a token. @throws {Malformed} if it has been used, or cannot be told from others. */
export type UseOnce = (issuer: string, claims: Claims, nowMs: number) => Promise<void>;

/** How long a row is kept beyond the token's end: the largest skew that can be configured, twice. */
const marginSeconds = 120;
const maxSwept = 64;
const maxIdLength = 512;

/** Keeps what was used in `store`, whose tables are `used` (digest to end) and `expiring` (end and digest, for sweeping). */
export function createUseOnce(store: Pick<Store, "commit" | "scan">): UseOnce {
  return async (issuer, claims, nowMs) => {
    const { jti, exp } = claims;
    if (typeof jti !== "string" || jti === "" || jti.length > maxIdLength) {
      throw new Malformed('id token: no claim "jti", without which it cannot be taken once');
    }
    if (typeof exp !== "number") throw new Malformed('id token: "exp" is not a time');
    const digest = new Uint8Array(
      createHash("sha256")
        .update(encodeUtf8(`${issuer}\0${jti}`))
        .digest(),
    );
    const until = uintBytes(BigInt(Math.ceil(exp) + marginSeconds), 8);
    const gone = await store.scan("expiring", {
      to: uintBytes(BigInt(Math.floor(nowMs / 1_000)), 8),
      limit: maxSwept,
    });
    try {
      await store.commit({
        expect: [{ table: "used", key: digest, value: null }],
        writes: [
          // Two commits may sweep one row: deleting what is gone changes nothing.
          ...gone.flatMap(({ key }) => [
            { table: "expiring", key, value: null },
            { table: "used", key: key.slice(8), value: null },
          ]),
          { table: "used", key: digest, value: until },
          { table: "expiring", key: concat(until, digest), value: new Uint8Array(1) },
        ],
      });
    } catch (thrown) {
      if (!(thrown instanceof Conflict)) throw thrown;
      throw new Malformed("id token: has been used before", { cause: thrown });
    }
  };
}
