/** The SCT in a certificate, and the entry that it promises to log. */
import { createHash } from "node:crypto";
import { readDer, readOctetString } from "../../core/formats/der.ts";
import { withoutSctList } from "../../core/formats/leaf-profile.ts";
import { parseSctList } from "../../core/formats/sct.ts";
import type { Certificate } from "../../core/formats/x509.ts";

const sctListOid = "1.3.6.1.4.1.11129.2.4.2";

/** RFC 6962 §3.3: the one embedded SCT of `leaf`, with the precert_entry that its log must hold. */
export function embeddedSct(leaf: Certificate, issuer: Certificate) {
  const list = leaf.extensions.find(({ oid }) => oid === sctListOid);
  if (list === undefined) throw new Error("the certificate has no SCT list");
  const [sct, ...more] = parseSctList(readOctetString(readDer(list.value)));
  if (sct === undefined || more.length > 0)
    throw new Error("the certificate does not have exactly one SCT");
  const issuerKeyHash = new Uint8Array(createHash("sha256").update(issuer.publicKey).digest());
  return { timestampMs: sct.timestampMs, issuerKeyHash, tbs: withoutSctList(leaf.tbs), sct };
}
