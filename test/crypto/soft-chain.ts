/** CAs of every shape and key that clients know, their keys in memory. */
import { generateKeyPairSync } from "node:crypto";
import * as der from "../../core/formats/der.ts";
import {
  type Extension,
  extensionOids,
  formatName,
  keyIdentifier,
  type SignatureAlgorithm,
} from "../../core/formats/x509.ts";
import {
  basicConstraints,
  certificate,
  certSign,
  codeSigning,
  type SoftAuthority,
  softKey,
  type SoftKeyPair,
  subjectKeyId,
} from "./soft-authority.ts";

/** CAs above one another: the root alone, one below it, or two. */
export type Shape = "single" | "issuing" | "intermediate";

/** Keys of CAs, by the algorithm of the certificates that they sign. */
export const authorityKeys = {
  "ecdsa-sha256": () => softKey("P-256"),
  "ecdsa-sha384": () => softKey("P-384"),
  "rsa-sha256": () => softRsaKey(2048),
} as const satisfies { readonly [Algorithm in SignatureAlgorithm]: () => SoftKeyPair };

/** An RSA key with exponent 65537. */
export function softRsaKey(modulusLength: number): SoftKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength });
  return { privateKey, spki: new Uint8Array(publicKey.export({ format: "der", type: "spki" })) };
}

/** A chain valid for a year around `now`, every CA with a key of its own of the one kind. */
export function softChain(now: Date, shape: Shape, algorithm: SignatureAlgorithm): SoftAuthority {
  const names = { single: ["root"], issuing: ["root", "a"], intermediate: ["root", "a", "b"] };
  const made = names[shape].reduce<readonly Made[]>((above, commonName, at) => {
    const key = authorityKeys[algorithm]();
    const signer = above[0] ?? { key, name: formatName({ commonName }) };
    const below = names[shape].length - 1 - at;
    return [certify(key, { commonName, signer, below, now, algorithm }), ...above];
  }, []);
  const [issuing, root] = [made[0], made.at(-1)];
  if (issuing === undefined || root === undefined) throw new Error("a chain has a root");
  return {
    root: { ...root.key, der: root.der, name: root.name },
    issuing: {
      ...issuing.key,
      der: issuing.der,
      name: issuing.name,
      keyId: keyIdentifier(issuing.key.spki),
    },
    chain: made.map((one) => one.der),
  };
}

interface Made {
  readonly key: SoftKeyPair;
  readonly name: Uint8Array;
  readonly der: Uint8Array;
}

interface Wanted {
  readonly commonName: string;
  readonly signer: Pick<Made, "key" | "name">;
  /** CAs below this one. */
  readonly below: number;
  readonly now: Date;
  readonly algorithm: SignatureAlgorithm;
}

function certify(key: SoftKeyPair, { commonName, signer, below, now, algorithm }: Wanted): Made {
  const name = formatName({ commonName });
  const isRoot = signer.key === key;
  const halfYearMs = 182 * 86_400_000;
  const bytes = certificate(signer.key, algorithm, {
    notBefore: new Date(now.getTime() - halfYearMs),
    notAfter: new Date(now.getTime() + halfYearMs),
    issuer: signer.name,
    subject: name,
    publicKey: key.spki,
    extensions: [
      certSign,
      ...(isRoot ? [] : [codeSigning]),
      basicConstraints(isRoot ? null : BigInt(below)),
      subjectKeyId(key.spki),
      ...(isRoot ? [] : [authorityKeyId(signer.key.spki)]),
    ],
  });
  return { key, name, der: bytes };
}

function authorityKeyId(spki: Uint8Array): Extension {
  const value = der.sequence(der.implicit(0, keyIdentifier(spki)));
  return { oid: extensionOids.authorityKeyIdentifier, critical: false, value };
}
