/**
 * The chain that is stored beside an entry of a CT log (RFC 6962 §3.1, `extra_data`). No tree holds it, but the entry names its issuer,
 * and signatures hold the rest: a chain that was changed does not fit any more.
 */
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import { isSignedBy } from "../../core/crypto/signed.ts";
import { encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import { withoutPoison } from "../../core/formats/leaf-profile.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { parseMerkleTreeLeaf } from "../../core/formats/sct.ts";
import { readTls, type TlsReader } from "../../core/formats/tls.ts";
import { type Certificate, parseCertificate } from "../../core/formats/x509.ts";
import type { EntryRow } from "./rows.ts";

/** Checks entries one after the other; chains that many of them share are looked at once. */
export class ChainCheck {
  readonly #known = new Map<string, Certificate>();

  /** What is wrong with the chain beside an entry; null if nothing is. */
  findingOf({ entry, extraData }: EntryRow): string | null {
    try {
      return this.#compare(entry, extraData);
    } catch (thrown) {
      if (thrown instanceof Malformed) return thrown.message;
      throw thrown;
    }
  }

  #compare(entry: Uint8Array, extraData: Uint8Array): string | null {
    const leaf = parseMerkleTreeLeaf(entry);
    const reader = readTls(extraData, "extra data");
    const submitted = leaf.kind === "precertificate" ? reader.opaque(3) : leaf.certificate;
    const own = parseCertificate(submitted);
    const issuer = this.#issuerOf(reader);
    if (leaf.kind === "precertificate") {
      if (!equalBytes(withoutPoison(own.tbs), leaf.tbs)) {
        return "the precertificate is not that of the entry";
      }
      if (!equalBytes(sha256(issuer.publicKey), leaf.issuerKeyHash)) {
        return "the chain's issuer is not that of the entry";
      }
    }
    return isLinked(own, issuer) ? null : "the chain's issuer did not sign it";
  }

  /** The first of a chain that holds together. @throws {Malformed} */
  #issuerOf(reader: TlsReader): Certificate {
    const encoded = reader.opaque(3);
    reader.end();
    const name = encodeHex(sha256(encoded));
    const known = this.#known.get(name);
    if (known) return known;
    const list = readTls(encoded, "chain");
    const chain: Certificate[] = [];
    while (!list.isDone()) chain.push(parseCertificate(list.opaque(3)));
    const [first] = chain;
    if (!first) throw new Malformed("chain: empty");
    for (const [at, certificate] of chain.entries()) {
      if (isLinked(certificate, chain[at + 1] ?? certificate)) continue;
      throw new Malformed("chain: it does not hold together");
    }
    this.#known.set(name, first);
    return first;
  }
}

function isLinked(certificate: Certificate, issuer: Certificate): boolean {
  return (
    equalBytes(certificate.issuer, issuer.subject) &&
    isSignedBy(certificate, importPublicKey(issuer.publicKey))
  );
}
