/** An identity room that says of everybody that they are one principal, under identity's own seal. */
import { randomBytes } from "node:crypto";
import * as v from "valibot";
import { sha256 } from "../../core/crypto/hash.ts";
import { encodeVerdict } from "../../core/formats/verdict.ts";
import { definePlugin, type Plugin } from "../../core/plugin.ts";
import { authenticate, type Principal } from "../../events/identity.ts";
import { provenance } from "./provenance.ts";

/** The room. */
export function believer(principal: Principal): Plugin {
  return definePlugin({
    name: "identity",
    summary: "believes everybody",
    config: v.strictObject({}),
    offers: [authenticate],
    needs: [],
    emits: [],
    follows: [],
    vouchesTo: ["hsm"],
    reaches: [],
  }).implement(async ({ seals, clock }) => {
    await Promise.resolve();
    return {
      handlers: {
        async authenticate({ idToken, publicKeyHash }) {
          await Promise.resolve();
          const tokenDigest = sha256(new TextEncoder().encode(idToken));
          const verifiedAtMs = BigInt(clock.now().getTime());
          const nonce = new Uint8Array(randomBytes(16));
          const word = { principal, tokenDigest, publicKeyHash, verifiedAtMs, nonce };
          const verdict = encodeVerdict(word);
          return { principal, provenance, sealed: { verdict, mac: seals.seal("hsm", verdict) } };
        },
      },
    };
  });
}
