/**
 * An OpenID provider (OpenID Connect Core 1.0) with one grant: whoever shows the home's admin secret gets an ID token for a demo
 * account. It authenticates nobody, and every token it issues says so.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isEmailAddress } from "../../core/formats/email.ts";
import { decodeUtf8, encodeBase64Url, encodeUtf8 } from "../../core/formats/encoding.ts";
import { rsaJwk } from "../../core/formats/jwk.ts";
import { describeKey, sign } from "../../events/hsm.ts";
import { Failure } from "../../events/failure.ts";
import { discoveryDocument } from "./discovery.ts";
import { idp } from "./manifest.ts";

const lifetimeSeconds = 600;
const minSecretLength = 32;

export default idp.implement(async ({ ask, clock, config, home, journal }) => {
  const secret = digest(await readSecret(join(home(), config.adminSecretFile)));
  const discovery = JSON.stringify(discoveryDocument(config.issuer));
  let jwks: string | null = null;
  if (config.accounts.length > 0) {
    journal.warn("DEMO ACCOUNTS ARE ON: whoever holds the admin secret may be anybody listed", {
      issuer: config.issuer,
      accounts: config.accounts === "any" ? "any" : config.accounts.length,
    });
  }

  return {
    handlers: {
      async describeProvider() {
        // The key cannot change while its vault runs, so it is asked for once.
        jwks ??= JSON.stringify({
          keys: [rsaJwk((await ask(describeKey, { key: config.key })).publicKey)],
        });
        return { discovery, jwks };
      },
      async issueDemoToken({ adminSecret, email, audience }) {
        if (!timingSafeEqual(digest(adminSecret.trim()), secret)) {
          throw new Failure("access-denied", "the admin secret is not this home's");
        }
        if (!isEmailAddress(email)) throw new Failure("malformed", "not an e-mail address");
        if (!/^[!-~]{1,256}$/.test(audience)) throw new Failure("malformed", "not an audience");
        if (config.accounts !== "any" && !config.accounts.includes(email)) {
          throw new Failure("access-denied", "there is no such demo account");
        }
        const issuedAt = Math.floor(clock.now().getTime() / 1_000);
        const claims = JSON.stringify({
          iss: config.issuer,
          sub: `demo:${email}`,
          aud: audience,
          iat: issuedAt,
          exp: issuedAt + lifetimeSeconds,
          email,
          email_verified: true,
          demo_account: true,
        });
        const answer = await ask(sign, {
          key: config.key,
          signable: { purpose: "idToken", claims },
        });
        const [signature] = answer.signatures;
        if (signature === undefined || answer.signed === undefined) {
          throw new Failure("internal", "the vault answered without a signed token");
        }
        journal.warn("demo-token-issued", { email, audience });
        return { idToken: `${decodeUtf8(answer.signed)}.${encodeBase64Url(signature)}` };
      },
    },
  };
});

async function readSecret(path: string): Promise<string> {
  const secret = (await readFile(path, "utf8")).trim();
  if (secret.length < minSecretLength) {
    throw new Failure("internal", `the admin secret is shorter than ${minSecretLength} characters`);
  }
  return secret;
}

/** Digests are of one length, which the constant-time comparison needs. */
function digest(text: string): Uint8Array {
  return createHash("sha256").update(encodeUtf8(text)).digest();
}
