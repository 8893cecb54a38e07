/** A vault that signs ID tokens for the sign-in, as the real one does it, and nothing else. */
import { constants, generateKeyPairSync, sign as signBytes } from "node:crypto";
import * as v from "valibot";
import { rsaJwk } from "../../core/formats/jwk.ts";
import { definePlugin } from "../../core/plugin.ts";
import { describeKey, sign } from "../../events/hsm.ts";

/** A vault with one key, which counts. */
export function idTokenVault() {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
  const signed: string[] = [];
  const plugin = definePlugin({
    name: "hsm",
    summary: "stands in for the vault",
    config: v.strictObject({}),
    offers: [sign, describeKey],
    needs: [],
    emits: [],
    follows: [],
    reaches: [],
  }).implement(
    async () =>
      await Promise.resolve({
        handlers: {
          async sign({ key, signable }, { from }) {
            if (key !== "id-token" || signable.purpose !== "idToken" || from !== "idp")
              throw new Error("not that");
            signed.push(signable.claims);
            const header = { alg: "RS256", kid: rsaJwk(spki).kid };
            const input = Buffer.from(
              [JSON.stringify(header), signable.claims]
                .map((part) => Buffer.from(part).toString("base64url"))
                .join("."),
            );
            const signature = signBytes("sha256", input, {
              key: privateKey,
              padding: constants.RSA_PKCS1_PADDING,
            });
            return await Promise.resolve({ signatures: [signature], signed: input });
          },
          describeKey: async () =>
            await Promise.resolve({
              algorithm: "rsa-2048" as const,
              publicKey: spki,
              purposes: ["idToken"],
            }),
        },
      }),
  );
  return { plugin, signed };
}
