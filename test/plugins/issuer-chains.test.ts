/** Issuing from CAs of every shape and key: the answer ends with exactly the chain that trusted roots name, and openssl agrees. */
import { describe, expect, test } from "vitest";
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import { formatPem } from "../../core/formats/pem.ts";
import { parseDigitallySigned, sctSignatureInput } from "../../core/formats/sct.ts";
import {
  extensionOids,
  findExtension,
  parseCertificate,
  signatureOids,
} from "../../core/formats/x509.ts";
import { trustBundle } from "../../events/issuer.ts";
import { authorityKeys, type Shape, softChain } from "../crypto/soft-chain.ts";
import { openssl } from "../formats/openssl.ts";
import "../support/matchers.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { boot, rows } from "./issuer-house.ts";
import { issuerRooms, startMs } from "./issuer-rooms.ts";

const shapes: readonly Shape[] = ["single", "issuing", "intermediate"];
const algorithms = Object.keys(authorityKeys) as (keyof typeof authorityKeys)[]; // keys of a const object
const chains = shapes.flatMap((shape) =>
  algorithms.map((algorithm) => ({
    shape,
    algorithm,
    authority: softChain(new Date(startMs), shape, algorithm),
  })),
);

describe.each(chains)("a CA of shape $shape signing $algorithm", (given) => {
  const { shape, algorithm, authority } = given;

  test("issues, and openssl verifies the chain", async () => {
    await using house = await boot(issuerRooms({ authority, algorithm }));
    const { chain } = await house.issue();
    expect(chain.slice(1)).toEqual(authority.chain);
    expect(chain).toHaveLength({ single: 2, issuing: 3, intermediate: 4 }[shape]);
    const leaf = parseCertificate(chain[0] ?? new Uint8Array());
    expect(leaf.signatureAlgorithm).toBe(signatureOids[algorithm]);
    const { chains: bundle } = await house.installation.ask(trustBundle, {});
    expect(bundle).toEqual([authority.chain]);
    const pem = (ders: readonly Uint8Array[]): string =>
      ders.map((one) => formatPem("CERTIFICATE", one)).join("");
    const files = {
      "root.pem": pem(authority.chain.slice(-1)),
      "above.pem": pem(authority.chain),
      "leaf.pem": pem(chain.slice(0, 1)),
    };
    const at = ["-attime", String(startMs / 1_000 + 1), "-x509_strict", "-purpose", "any"];
    const said = openssl(
      files,
      "verify",
      ...at,
      "-CAfile",
      "root.pem",
      "-untrusted",
      "above.pem",
      "leaf.pem",
    );
    expect(said.output).toContain("leaf.pem: OK");
  });

  test("answers with the SCT beside the certificate where that is configured", async () => {
    const rooms = issuerRooms({ authority, algorithm, bare: true });
    await using house = await boot(rooms, memoryStorage(), { scts: "detached" });
    const { chain, detachedSct } = await house.issue();
    const [certificate = new Uint8Array()] = chain;
    const leaf = parseCertificate(certificate);
    expect(findExtension(leaf, extensionOids.sctList)).toBeUndefined();
    expect(findExtension(leaf, extensionOids.poison)).toBeUndefined();
    expect(house.rooms.signed.map(({ kind }) => kind)).toEqual(["bare"]);
    const sct = detachedSct ?? { logId: sha256(certificate), timestampMs: 0n, signature: leaf.tbs };
    expect(sct.logId).toEqual(sha256(rooms.logKey.spki));
    const input = sctSignatureInput({
      kind: "certificate",
      timestampMs: sct.timestampMs,
      certificate,
    });
    const { signature } = parseDigitallySigned(sct.signature);
    expect(verifySignature(importPublicKey(rooms.logKey.spki), input, signature)).toBe(true);
    expect((await house.facts()).map(({ name }) => name)).toEqual(["certificateIssued"]);
    expect(await rows(house.storage, "open")).toEqual([]);
  });
});

test("a certificate without SCT is not handed out when the log does not take it, and that is recorded", async () => {
  const rooms = issuerRooms({ bare: true });
  await using house = await boot(rooms, memoryStorage(), { scts: "detached" });
  rooms.onAppend = (answer) => ({ ...answer, integratedAtMs: answer.integratedAtMs + 1n });
  await expect(house.issue()).toFailWith("log-unavailable");
  const [fact] = await house.facts();
  expect(fact?.name).toBe("certificateRefused");
  expect(fact?.body.reason).toContain("certificate signed");
});

test("a vault that was not told signs nothing without an SCT list", async () => {
  const rooms = issuerRooms();
  await using house = await boot(rooms, memoryStorage(), { scts: "detached" });
  await expect(house.issue()).toFailWith("internal");
  expect(rooms.signed).toEqual([]);
});
