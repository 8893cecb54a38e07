/** The timestamp authority: reads requests, tells the time if it is sure of it, and has the vault sign. */
import { randomBytes } from "node:crypto";
import { Malformed } from "../../core/formats/malformed.ts";
import { formatTimestampRejection, formatTimestampResponse } from "../../core/formats/tsp.ts";
import { Failure } from "../../events/failure.ts";
import { describeKey, sign } from "../../events/hsm.ts";
import { type Authority, readAuthority } from "./authority.ts";
import { type GuardedTime, guardTime } from "./doubt.ts";
import { timestamp, type TimestampContext } from "./manifest.ts";
import { type Grantable, readJson, readQuery } from "./request.ts";

const serialBytes = 20;
/** One call of the random generator costs as much as the bytes of many serial numbers. */
const serialsAtOnce = 64;

/** Serial numbers of 158 random bits: no two are ever equal, and the vault's ledger holds them all. */
function randomSerials(): () => Uint8Array {
  let pool = new Uint8Array();
  return () => {
    if (pool.length === 0) pool = new Uint8Array(randomBytes(serialsAtOnce * serialBytes));
    const serial = pool.slice(0, serialBytes);
    pool = pool.subarray(serialBytes);
    // Positive, and always of the same length.
    serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
    return serial;
  };
}

export default timestamp.implement(async (context) => {
  const { ask, config } = context;
  const { key } = config;
  if (key === undefined) return { handlers: absent };
  const authority = readAuthority(await ask(describeKey, { key }));
  const time = await guardTime(context);
  const stamp = stamping(context, { key, authority, time });
  return {
    handlers: {
      async createTimestamp({ form, request }) {
        const read = parse(form, request, authority.policy);
        if ("refused" in read) {
          const { refused, reason } = read;
          return { granted: false, response: formatTimestampRejection(refused, reason) };
        }
        return { granted: true, response: formatTimestampResponse(await stamp(read)) };
      },
      timestampChain: async () => await Promise.resolve({ certificates: [...authority.chain] }),
    },
    health: () => time.health(),
    [Symbol.asyncDispose]: async () => await time[Symbol.asyncDispose](),
  };
});

/** Without a key there is no authority, and whoever looks for one finds none. */
const absent = {
  createTimestamp: async () => await Promise.reject(nobody()),
  timestampChain: async () => await Promise.reject(nobody()),
};

function nobody(): Failure {
  return new Failure("not-found", "this installation has no timestamp authority");
}

function parse(form: "query" | "json", request: Uint8Array, policy: string) {
  try {
    return form === "query" ? readQuery(request, policy) : readJson(request, policy);
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new Failure("malformed", cause.message, { cause });
  }
}

/** Makes what turns a request into a token. */
function stamping(
  { ask, config, journal }: TimestampContext,
  { key, authority, time }: { key: string; authority: Authority; time: GuardedTime },
): (request: Grantable) => Promise<Uint8Array> {
  const nextSerial = randomSerials();
  let lastMs = 0;
  return async ({ hashAlgorithm, messageImprint, nonce, certReq }) => {
    const now = time.now();
    if (typeof now === "string") throw new Failure("time-unavailable", now);
    // The clock may creep back by less than a step; what was said is not unsaid. Further back is not this clock any more.
    if (now.getTime() < lastMs - config.maxStepMs) {
      throw new Failure("time-unavailable", "the clock is behind what was stamped last");
    }
    lastMs = Math.max(lastMs, now.getTime());
    // Tokens hold whole seconds, and the certificate's end is a whole second.
    if (lastMs < authority.notBefore.getTime() || lastMs > authority.notAfter.getTime()) {
      throw new Failure("key-unavailable", "the authority's certificate is not valid now");
    }
    try {
      const { signed } = await ask(sign, {
        key,
        signable: {
          purpose: "timestamp",
          hashAlgorithm,
          messageImprint,
          policy: authority.policy,
          serial: nextSerial(),
          genTimeMs: BigInt(lastMs),
          ...(nonce && { nonce }),
          includeCertificate: certReq,
          includeChain: config.includeChain,
        },
      });
      if (signed === undefined) throw new Failure("internal", "the vault gave no token");
      return signed;
    } catch (cause) {
      if (!(cause instanceof Failure) || !signedTime.includes(cause.code)) throw cause;
      // The vault has signed a later time before, or its own clock is elsewhere: one of them is wrong.
      journal.error("vault-refused-time", { reason: cause.message });
      throw new Failure("time-unavailable", "the vault refuses the time", { cause });
    }
  };
}

const signedTime: readonly string[] = ["guard-refused", "lint-refused"];
