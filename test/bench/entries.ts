/**
 * Entries for logs that are too large to be signed for: bodies of Rekor v2 as the door lets them in, each with a digest of its own, and
 * in a few a certificate. Their signatures verify nothing, which nobody behind the door looks at. They depend on their number alone, so
 * that what a log of them must answer is known without it.
 */
import { hash } from "node:crypto";
import { encodeBase64, encodeUtf8 } from "../../core/formats/encoding.ts";
import { canonicalBodyV2 } from "../../core/formats/rekor-v2.ts";
import { boxKey, sigstoreBox } from "../support/sigstore-box.ts";

/** The log of a demo that is filled with them. */
export const filledLog = "rekor-v2";

/** Who signs one entry in a hundred: at ten million, the hundred thousand hits that are paged. */
export const often = "release@example.com";

/** Of a hundred entries so many have a certificate, the others a bare key: some 500 bytes an entry in the mean. */
const certified = 4;
const identities = 20_000;
/** P-256: what comes before the point, in a SubjectPublicKeyInfo. */
const pointAt = 27;
const spkiLength = 91;
const hashLength = 32;

/** SHA-256 of the artifact of an entry, lower-case hex. */
export function digestOf(index: number): string {
  return hash("sha256", `artifact ${index}`, "hex");
}

/** Who signed an entry, as its certificate says; null if it has a bare key. */
export function nameOf(index: number): string | null {
  const kind = index % 100;
  if (kind === 0) return often;
  if (kind >= certified) return null;
  const who = Number(`0x${hash("sha256", `who ${index}`, "hex").slice(0, 8)}`) % identities;
  return userName(who);
}

/** Makes the body of an entry. */
export type MakeBody = (index: number) => Uint8Array;

/** A maker of bodies: everything but digest, key, name and signature is made once. */
export function bodyMaker(): MakeBody {
  const bare = template(boxKey().spki, "publicKey");
  const users = certificateTemplate(userName(0));
  const release = certificateTemplate(often);
  return (index) => {
    const digest = hash("sha256", `artifact ${index}`, "buffer");
    const name = nameOf(index);
    const model = name === null ? bare : name === often ? release : users;
    const der = model.der.slice();
    // No point of the curve: all that is looked at is that every entry has another.
    der.set(digest, model.pointAt);
    der.set(hash("sha256", digest, "buffer"), model.pointAt + hashLength);
    for (const at of model.namesAt) der.set(encodeUtf8(name ?? ""), at);
    return encodeUtf8(
      model.parts[0] +
        encodeBase64(digest) +
        model.parts[1] +
        encodeBase64(new Uint8Array([...signatureHead, ...digest, ...signatureMiddle, ...digest])) +
        model.parts[2] +
        encodeBase64(der) +
        model.parts[3],
    );
  };
}

/** ECDSA-Sig-Value with two integers of 33 octets. */
const signatureHead = [0x30, 70, 0x02, 33, 0];
const signatureMiddle = [0x02, 33, 0];

interface Template {
  readonly der: Uint8Array;
  readonly pointAt: number;
  /** The name is in it as a SubjectAltName, and as the extension of the token's subject. */
  readonly namesAt: readonly number[];
  /** The body around digest, signature and verifier. */
  readonly parts: readonly [string, string, string, string];
}

function userName(who: number): string {
  return `user-${String(who).padStart(5, "0")}@example.com`;
}

function certificateTemplate(name: string): Template {
  const at = new Date(Date.UTC(2026, 0, 1));
  const key = boxKey();
  const who = {
    san: { kind: "email" as const, value: name },
    oidcIssuer: "https://idp.example.com",
    at,
  };
  const der = sigstoreBox(at).certify(key.spki, who);
  const found = template(der, "x509Certificate");
  const spkiAt = Buffer.from(der).indexOf(key.spki);
  return { ...found, pointAt: spkiAt + pointAt, namesAt: allOf(der, name) };
}

function template(der: Uint8Array, kind: "publicKey" | "x509Certificate"): Template {
  const digest = new Uint8Array(hashLength).fill(1);
  const signature = new Uint8Array(72).fill(2);
  const body = canonicalBodyV2({
    kind: "hashedrekord",
    digest,
    signature,
    verifier: { kind, rawBytes: der, keyDetails: "PKIX_ECDSA_P256_SHA_256" },
  });
  const parts: string[] = [];
  let rest = Buffer.from(body).toString("utf8");
  for (const bytes of [digest, signature, der]) {
    const [before = "", after = ""] = rest.split(encodeBase64(bytes));
    parts.push(before);
    rest = after;
  }
  const [first = "", second = "", third = ""] = parts;
  return {
    der,
    pointAt: spkiLength - 2 * hashLength,
    namesAt: [],
    parts: [first, second, third, rest],
  };
}

function allOf(bytes: Uint8Array, text: string): readonly number[] {
  const found: number[] = [];
  const buffer = Buffer.from(bytes);
  for (let at = buffer.indexOf(text); at >= 0; at = buffer.indexOf(text, at + 1)) found.push(at);
  return found;
}
