/** Whose keys are certified: every kind of interop.md 1.3, by both proofs, and what the operator leaves out. */
import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import * as der from "../../core/formats/der.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { signingAlgorithms } from "../../plugins/issuer/algorithms.ts";
import { softKey, type SoftKeyPair, softSign } from "../crypto/soft-authority.ts";
import { softRsaKey } from "../crypto/soft-chain.ts";
import "../support/matchers.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { boot } from "./issuer-house.ts";
import { issuerRooms, principal } from "./issuer-rooms.ts";

/** A kind of key: its default hash, the object identifier in its requests, and its names in the registry. */
interface Kind {
  readonly names: readonly string[];
  readonly pair: SoftKeyPair;
  readonly hash: string | null;
  readonly oid: string;
}

const ed25519 = (): SoftKeyPair => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { privateKey, spki: new Uint8Array(publicKey.export({ format: "der", type: "spki" })) };
};
const rsaOid = "1.2.840.113549.1.1.11";
const kinds: readonly Kind[] = [
  {
    names: ["ecdsa-sha2-256-nistp256"],
    pair: softKey("P-256"),
    hash: "sha256",
    oid: "1.2.840.10045.4.3.2",
  },
  {
    names: ["ecdsa-sha2-384-nistp384"],
    pair: softKey("P-384"),
    hash: "sha384",
    oid: "1.2.840.10045.4.3.3",
  },
  {
    names: ["ecdsa-sha2-512-nistp521"],
    pair: softKey("P-521"),
    hash: "sha512",
    oid: "1.2.840.10045.4.3.4",
  },
  { names: ["ed25519", "ed25519-ph"], pair: ed25519(), hash: null, oid: "1.3.101.112" },
  ...[2048, 3072, 4096].map((bits) => ({
    names: [`rsa-sign-pkcs1-${bits}-sha256`],
    pair: softRsaKey(bits),
    hash: "sha256",
    oid: rsaOid,
  })),
];

const signBy = ({ pair, hash }: Kind, data: Uint8Array): Uint8Array =>
  // Ed25519 takes no hash: node wants null, which the helper's type does not say.
  softSign(pair, data, hash as string);
const possession = (kind: Kind) => ({
  kind: "possession",
  publicKey: kind.pair.spki,
  possession: signBy(kind, encodeUtf8(principal.challenge)),
});
const request = (kind: Kind) => {
  const attributes = der.implicit(0, new Uint8Array(), true);
  const info = der.sequence(der.integer(0n), der.sequence(), kind.pair.spki, attributes);
  const parameters = kind.oid === rsaOid ? [der.nullValue()] : [];
  const algorithm = der.sequence(der.oid(kind.oid), ...parameters);
  return {
    kind: "request",
    request: der.sequence(info, algorithm, der.bitString(signBy(kind, info))),
  };
};

test("the registry has a kind of key for every name", () => {
  expect(kinds.flatMap(({ names }) => names).toSorted()).toEqual(signingAlgorithms.toSorted());
});

test.for(kinds)("a key of $names is certified by either proof", async (kind) => {
  await using house = await boot();
  for (const proof of [possession(kind), request(kind)]) {
    const { chain } = await house.issue({ proof });
    expect(parseCertificate(chain[0] ?? new Uint8Array()).publicKey).toEqual(kind.pair.spki);
  }
});

test.for(kinds)("where only $names is permitted, no other key is", async (only) => {
  for (const name of only.names) {
    await using house = await boot(issuerRooms(), memoryStorage(), {
      clientSigningAlgorithms: [name],
    });
    for (const kind of kinds) {
      for (const proof of [possession(kind), request(kind)]) {
        if (kind === only) await house.issue({ proof });
        else await expect(house.issue({ proof })).toFailWith("key-not-permitted");
      }
    }
    expect(house.rooms.signed).toHaveLength(4);
  }
});

test("a name that the registry does not have is a mistake in the configuration", async () => {
  const config = { clientSigningAlgorithms: ["ecdsa-sha2-256-secp256k1"] };
  await expect(boot(issuerRooms(), memoryStorage(), config)).rejects.toThrow(
    /clientSigningAlgorithms/,
  );
  await expect(
    boot(issuerRooms(), memoryStorage(), { clientSigningAlgorithms: [] }),
  ).rejects.toThrow(/clientSigningAlgorithms/);
});

test("a proof over another hash than the key's own proves nothing", async () => {
  await using house = await boot();
  for (const kind of kinds.filter(({ hash }) => hash !== null)) {
    const other = { ...kind, hash: kind.hash === "sha384" ? "sha256" : "sha384" };
    await expect(house.issue({ proof: possession(other) })).toFailWith("possession-unproven");
  }
});
