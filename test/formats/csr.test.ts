import { generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, test } from "vitest";
import { importPublicKey } from "../../core/crypto/keys.ts";
import { verifySigned } from "../../core/crypto/signed.ts";
import { parseCsr } from "../../core/formats/csr.ts";
import * as der from "../../core/formats/der.ts";
import { concat } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { parsePem } from "../../core/formats/pem.ts";
import { openssl } from "./openssl.ts";

const pairs = {
  p256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  p384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ed25519: generateKeyPairSync("ed25519"),
};

/** A request made by openssl. */
function request(kind: keyof typeof pairs, ...parameters: string[]): Uint8Array {
  const pem = pairs[kind].privateKey.export({ format: "pem", type: "pkcs8" });
  const said = openssl(
    { "key.pem": pem },
    "req",
    "-new",
    "-key",
    "key.pem",
    ...(parameters.includes("-subj") ? [] : ["-subj", "/"]),
    ...parameters,
  );
  return parsePem(said.output, "CERTIFICATE REQUEST");
}

function isSelfSigned(bytes: Uint8Array): boolean {
  const { publicKey, signedBytes: data, signatureAlgorithm, signature } = parseCsr(bytes);
  return verifySigned(importPublicKey(publicKey), { data, signatureAlgorithm, signature });
}

describe.each(["p256", "p384", "rsa", "ed25519"] as const)("openssl's %s request", (kind) => {
  const made = request(kind);

  test("carries the key and verifies", () => {
    const spki = new Uint8Array(pairs[kind].publicKey.export({ format: "der", type: "spki" }));
    expect(parseCsr(made).publicKey).toEqual(spki);
    expect(isSelfSigned(made)).toBe(true);
  });

  test("does not verify with a changed signature", () => {
    const broken = made.with(-1, (made.at(-1) ?? 0) ^ 1);
    expect(isSelfSigned(broken)).toBe(false);
  });
});

test("extensions and subject are skipped", () => {
  const made = request(
    "p256",
    "-subj",
    "/CN=somebody else",
    "-addext",
    "basicConstraints=critical,CA:TRUE",
  );
  expect(isSelfSigned(made)).toBe(true);
});

test("a SHA-1 or MD5 self-signature does not count", () => {
  expect(isSelfSigned(request("p256", "-sha1"))).toBe(false);
  expect(isSelfSigned(signedRequest("1.2.840.113549.1.1.4", "md5"))).toBe(false);
});

test("an algorithm of another key type does not count", () => {
  expect(isSelfSigned(signedRequest("1.2.840.10045.4.3.2", "sha256"))).toBe(false);
});

/** A request with the RSA key, put together by hand. */
function signedRequest(oid: string, hash: string, version = 0n): Uint8Array {
  const spki = pairs.rsa.publicKey.export({ format: "der", type: "spki" });
  const info = der.sequence(
    der.integer(version),
    der.sequence(),
    spki,
    der.implicit(0, new Uint8Array(), true),
  );
  const signature = sign(hash, info, pairs.rsa.privateKey);
  return der.sequence(info, der.sequence(der.oid(oid), der.nullValue()), der.bitString(signature));
}

const good = request("p256");

test.each<[string, () => Uint8Array]>([
  ["nothing", () => new Uint8Array()],
  ["a trailing byte", () => concat(good, Uint8Array.of(0))],
  ["a cut request", () => good.subarray(0, -1)],
  ["version 1", () => signedRequest("1.2.840.113549.1.1.11", "sha256", 1n)],
  ["version 99", () => signedRequest("1.2.840.113549.1.1.11", "sha256", 99n)],
  [
    "no signature",
    () =>
      der.sequence(
        ...der
          .readDer(good)
          .children()
          .slice(0, 2)
          .map(({ encoded }) => encoded),
      ),
  ],
  ["a certificate's worth of nothing", () => der.sequence()],
])("refuses %s", (_, make) => {
  expect(() => parseCsr(make())).toThrow(Malformed);
});
