/** Holds what clients were told against what an instance says afterwards: nothing lost, nothing forked, every promise kept. */
import { parseCertificate } from "../../core/formats/x509.ts";
import { decodeBase64, decodeHex, encodeBase64 } from "../../core/formats/encoding.ts";
import { leafHash, verifyConsistency, verifyInclusion } from "../../core/formats/merkle.ts";
import { parsePem } from "../../core/formats/pem.ts";
import { merkleTreeLeaf } from "../../core/formats/sct.ts";
import { embeddedSct } from "./embedded-sct.ts";
import type { Acknowledged } from "./signer.ts";

/** The part of Rekor's entry that the oracle reads. */
interface Entry {
  readonly body: string;
  readonly logIndex: number;
  readonly verification: {
    readonly inclusionProof: {
      readonly logIndex: number;
      readonly treeSize: number;
      readonly rootHash: string;
      readonly hashes: readonly string[];
    };
  };
}

/** @throws unless every acknowledged signing is still in both logs, and every head ever shown is a prefix of today's. */
export async function expectKept(
  origin: string,
  acknowledged: readonly Acknowledged[],
): Promise<void> {
  const heads = new Map<number, string>();
  for (const one of acknowledged) {
    const then = one.entry as Entry;
    remember(heads, then.verification.inclusionProof);
    const answer = (await getJson(`${origin}/api/v1/log/entries/${one.entryId}`)) as {
      [id: string]: Entry;
    };
    const now = answer[one.entryId];
    if (now === undefined || now.body !== then.body || now.logIndex !== then.logIndex) {
      throw new Error(
        `entry ${one.entryId} at index ${then.logIndex} is not what was acknowledged`,
      );
    }
    expectIncluded(then);
    expectIncluded(now);
    await expectCertificateLogged(origin, one);
  }
  await expectPrefixes(origin, heads);
}

function remember(
  heads: Map<number, string>,
  proof: Entry["verification"]["inclusionProof"],
): void {
  const known = heads.get(proof.treeSize);
  if (known !== undefined && known !== proof.rootHash)
    throw new Error(`two roots for size ${proof.treeSize}`);
  heads.set(proof.treeSize, proof.rootHash);
}

function expectIncluded({ body, verification: { inclusionProof: proof } }: Entry): void {
  const included = verifyInclusion({
    index: BigInt(proof.logIndex),
    size: BigInt(proof.treeSize),
    leafHash: leafHash(decodeBase64(body)),
    root: decodeHex(proof.rootHash),
    proof: proof.hashes.map(decodeHex),
  });
  if (!included) throw new Error(`the inclusion proof of index ${proof.logIndex} does not hold`);
}

async function expectPrefixes(origin: string, heads: ReadonlyMap<number, string>): Promise<void> {
  const log = (await getJson(`${origin}/api/v1/log`)) as { treeSize: number; rootHash: string };
  for (const [size, root] of heads) {
    if (size === log.treeSize) {
      if (root !== log.rootHash) throw new Error(`two roots for size ${size}`);
      continue;
    }
    const proof = (await getJson(
      `${origin}/api/v1/log/proof?firstSize=${size}&lastSize=${log.treeSize}`,
    )) as { hashes: string[] };
    const consistent = verifyConsistency({
      first: BigInt(size),
      second: BigInt(log.treeSize),
      firstRoot: decodeHex(root),
      secondRoot: decodeHex(log.rootHash),
      proof: proof.hashes.map(decodeHex),
    });
    if (!consistent)
      throw new Error(
        `the tree of size ${size} that was shown is not a prefix of today's ${log.treeSize}`,
      );
  }
}

async function expectCertificateLogged(
  origin: string,
  { certificates }: Acknowledged,
): Promise<void> {
  const [leaf, issuer] = certificates.map((pem) =>
    parseCertificate(parsePem(`${pem}\n`, "CERTIFICATE")),
  );
  if (leaf === undefined || issuer === undefined)
    throw new Error("the chain is shorter than two certificates");
  const { timestampMs, issuerKeyHash, tbs } = embeddedSct(leaf, issuer);
  const hash = leafHash(
    merkleTreeLeaf({ kind: "precertificate", timestampMs, issuerKeyHash, tbs }),
  );
  const sth = (await getJson(`${origin}/logs/ct/ct/v1/get-sth`)) as {
    tree_size: number;
    sha256_root_hash: string;
  };
  const query = new URLSearchParams({ hash: encodeBase64(hash), tree_size: String(sth.tree_size) });
  const proof = (await getJson(
    `${origin}/logs/ct/ct/v1/get-proof-by-hash?${query.toString()}`,
  )) as {
    leaf_index: number;
    audit_path: string[];
  };
  const included = verifyInclusion({
    index: BigInt(proof.leaf_index),
    size: BigInt(sth.tree_size),
    leafHash: hash,
    root: decodeBase64(sth.sha256_root_hash),
    proof: proof.audit_path.map(decodeBase64),
  });
  if (!included) throw new Error("a certificate's SCT is not kept by the CT log");
}

async function getJson(url: string): Promise<unknown> {
  const response = await fetch(url, { signal: AbortSignal.timeout(60_000) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return await response.json();
}
