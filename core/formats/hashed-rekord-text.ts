/**
 * Canonical `hashedrekord` bodies (rekor 0.0.1, rekor-tiles 0.0.2), read by their text: a body has one spelling, so where each value
 * stands is known, and whoever follows the logs need not parse the JSON of every entry. What this does not know is not one, or is not ours;
 * it is read as JSON then.
 */

/** What a `hashedrekord` says, as its text has it. */
export interface HashedRekordText {
  readonly version: "0.0.1" | "0.0.2";
  /** `sha256` and so on; for version 0.0.2 `SHA2_256`. */
  readonly algorithm: string;
  /** Hex; for version 0.0.2 base64. */
  readonly digest: string;
  /** Base64: PEM of a certificate or key; for version 0.0.2 its DER. */
  readonly verifier: string;
  /** Null for version 0.0.1, whose PEM says it. */
  readonly kind: "x509Certificate" | "publicKey" | null;
}

const version1 =
  /^\{"apiVersion":"0\.0\.1","kind":"hashedrekord","spec":\{"data":\{"hash":\{"algorithm":"(sha256|sha384|sha512)","value":"([0-9a-f]+)"\}\},"signature":\{"content":"[A-Za-z0-9+/=]+","publicKey":\{"content":"([A-Za-z0-9+/=]+)"\}\}\}\}$/;

const version2 =
  /^\{"apiVersion":"0\.0\.2","kind":"hashedrekord","spec":\{"hashedRekordV002":\{"data":\{"algorithm":"(SHA2_256|SHA2_384|SHA2_512)","digest":"([A-Za-z0-9+/=]+)"\},"signature":\{"content":"[A-Za-z0-9+/=]+","verifier":\{"keyDetails":"[A-Z0-9_]+","(publicKey|x509Certificate)":\{"rawBytes":"([A-Za-z0-9+/=]+)"\}\}\}\}\}\}$/;

/** Null if the text is not exactly such a body. */
export function readHashedRekordText(text: string): HashedRekordText | null {
  const newer = version2.exec(text);
  if (newer !== null) {
    const [, algorithm = "", digest = "", kind, verifier = ""] = newer;
    const which = kind === "publicKey" ? kind : "x509Certificate";
    return { version: "0.0.2", algorithm, digest, verifier, kind: which };
  }
  const older = version1.exec(text);
  if (older === null) return null;
  const [, algorithm = "", digest = "", verifier = ""] = older;
  return { version: "0.0.1", algorithm, digest, verifier, kind: null };
}
