/** The vault's key as `oidc-provider` takes a key that signs elsewhere: it never sees more of it than the public half. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { ExternalSigningKey } from "oidc-provider";
import { decodeBase64Url, decodeUtf8 } from "../../core/formats/encoding.ts";
import { rsaJwk } from "../../core/formats/jwk.ts";
import { Failure } from "../../events/failure.ts";

/** Has claims signed; answers the JWS signing input that was signed, and its signature. */
export type SignClaims = (
  claims: string,
) => Promise<{ readonly signed: Uint8Array; readonly signature: Uint8Array }>;

/** A key whose private half is the vault's. */
export class VaultKey extends ExternalSigningKey {
  readonly #publicKey: KeyObject;
  readonly #signClaims: SignClaims;

  constructor(publicKey: Uint8Array, signClaims: SignClaims) {
    super();
    this.#publicKey = createPublicKey({
      key: Buffer.from(publicKey),
      format: "der",
      type: "spki",
    });
    this.#signClaims = signClaims;
    this.kid = rsaJwk(publicKey).kid;
    this.alg = "RS256";
  }

  override keyObject(): KeyObject {
    return this.#publicKey;
  }

  /**
   * Signs a JWS signing input. The vault takes claims and formats them itself, so its signature fits only if it came to the same
   * bytes; anything else is not given out.
   */
  override async sign(data: Uint8Array): Promise<Uint8Array> {
    const payload = decodeUtf8(data).split(".")[1] ?? "";
    const { signed, signature } = await this.#signClaims(decodeUtf8(decodeBase64Url(payload)));
    if (Buffer.compare(signed, data) === 0) return Buffer.from(signature);
    throw new Failure("internal", "the vault signed another token than was asked for");
  }
}
