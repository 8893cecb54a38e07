import { generateKeyPairSync } from "node:crypto";
import { expect, it } from "vitest";
import { calculateJwkThumbprint } from "jose";
import { rsaJwk } from "../../core/formats/jwk.ts";
import { Malformed } from "../../core/formats/malformed.ts";

it("gives an RSA key the thumbprint that jose gives it", async () => {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = rsaJwk(publicKey.export({ type: "spki", format: "der" }));
  expect(jwk).toMatchObject({ kty: "RSA", use: "sig", alg: "RS256", e: "AQAB" });
  expect(jwk.kid).toBe(
    await calculateJwkThumbprint({ kty: jwk.kty, n: jwk.n, e: jwk.e }, "sha256"),
  );
});

it("refuses what is no RSA key", () => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  expect(() => rsaJwk(publicKey.export({ type: "spki", format: "der" }))).toThrow(Malformed);
  expect(() => rsaJwk(new Uint8Array([0x30, 0]))).toThrow(Malformed);
});
