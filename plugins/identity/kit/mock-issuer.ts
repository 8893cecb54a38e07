/** An issuer for trials: a real key, a key set and tokens, without a network. */
import { CompactSign, exportJWK, generateKeyPair } from "jose";
import { encodeUtf8 } from "../../../core/formats/encoding.ts";
import { fixedIssuerKeys, type IssuerKeys } from "../issuer-keys.ts";

/** An issuer that will say anything it is told to. */
export interface MockIssuer {
  /** The public half, as the key set has it. */
  readonly jwk: { readonly [member: string]: unknown };
  readonly keys: IssuerKeys;
  /** Signs claims, or text in their place. */
  sign(claims: object | string, header?: { readonly [name: string]: unknown }): Promise<string>;
}

const keyId = "trial";

/** Makes one with a key of its own. */
export async function createMockIssuer(): Promise<MockIssuer> {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: keyId, alg: "ES256", use: "sig" };
  return {
    jwk,
    keys: fixedIssuerKeys(encodeUtf8(JSON.stringify({ keys: [jwk] }))),
    async sign(claims, header = {}) {
      const text = typeof claims === "string" ? claims : JSON.stringify(claims);
      return await new CompactSign(encodeUtf8(text))
        .setProtectedHeader({ alg: "ES256", kid: keyId, ...header })
        .sign(privateKey);
    },
  };
}
