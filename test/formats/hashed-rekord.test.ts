/** Bodies of hashedrekord are written out and read by their text: both must be what the general way comes to. */
import { fc, test as property } from "../support/fixed-draws.ts";
import { describe, expect, test } from "vitest";
import { decodeUtf8, encodeBase64, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { readHashedRekordText } from "../../core/formats/hashed-rekord-text.ts";
import { canonicalize } from "../../core/formats/jcs.ts";
import { type JsonValue, parseJson } from "../../core/formats/json.ts";
import { canonicalBody } from "../../core/formats/rekor-entry.ts";
import { formatVerifier } from "../../core/formats/rekor-members.ts";
import {
  acceptedKeyDetails,
  canonicalBodyV2,
  type KeyDetails,
} from "../../core/formats/rekor-v2.ts";

const some = fc.uint8Array({ minLength: 1, maxLength: 200 });
const hashes = { sha256: 32, sha384: 48, sha512: 64 } as const;
const details = Object.keys(acceptedKeyDetails) as readonly KeyDetails[]; // keys of a const object

describe("a body of hashedrekord 0.0.1", () => {
  const drawn = {
    hashAlgorithm: fc.constantFrom("sha256" as const, "sha384" as const, "sha512" as const),
    label: fc.constantFrom("CERTIFICATE" as const, "PUBLIC KEY" as const),
    der: some,
    signature: some,
    fill: fc.nat(255),
  };

  property.prop([fc.record(drawn)])(
    "is the canonical JSON of its spec, and is read again",
    (one) => {
      const { hashAlgorithm, label, der, signature, fill } = one;
      const digest = new Uint8Array(hashes[hashAlgorithm]).fill(fill);
      const verifier = { label, der };
      const body = canonicalBody({
        kind: "hashedrekord",
        hashAlgorithm,
        digest,
        signature,
        verifier,
      });
      const content = formatVerifier(verifier);
      const spec = {
        data: { hash: { algorithm: hashAlgorithm, value: encodeHex(digest) } },
        signature: { content: encodeBase64(signature), publicKey: { content } },
      };
      expect(decodeUtf8(body)).toBe(
        canonicalize({ spec, kind: "hashedrekord", apiVersion: "0.0.1" }),
      );
      expect(readHashedRekordText(decodeUtf8(body))).toEqual({
        version: "0.0.1",
        algorithm: hashAlgorithm,
        digest: encodeHex(digest),
        verifier: content,
        kind: null,
      });
    },
  );
});

describe("a body of hashedrekord 0.0.2", () => {
  const drawn = {
    keyDetails: fc.constantFrom(...details),
    kind: fc.constantFrom("publicKey" as const, "x509Certificate" as const),
    rawBytes: some,
    digest: some,
    signature: some,
  };

  property.prop([fc.record(drawn)])(
    "is the canonical JSON of its spec, and is read again",
    (one) => {
      const { keyDetails, kind, rawBytes, digest, signature } = one;
      const verifier = { kind, rawBytes, keyDetails };
      const body = canonicalBodyV2({ kind: "hashedrekord", digest, signature, verifier });
      const algorithm = acceptedKeyDetails[keyDetails].hash.replace("sha", "SHA2_");
      const spec: JsonValue = {
        hashedRekordV002: {
          signature: {
            verifier: { [kind]: { rawBytes: encodeBase64(rawBytes) }, keyDetails },
            content: encodeBase64(signature),
          },
          data: { digest: encodeBase64(digest), algorithm },
        },
      };
      const text = decodeUtf8(body);
      expect(text).toBe(canonicalize({ apiVersion: "0.0.2", kind: "hashedrekord", spec }));
      expect(readHashedRekordText(text)).toEqual({
        version: "0.0.2",
        algorithm,
        digest: encodeBase64(digest),
        verifier: encodeBase64(rawBytes),
        kind,
      });
    },
  );

  property.prop([fc.record(drawn), fc.nat(), fc.string({ maxLength: 2 })])(
    "that was changed is not read, or is canonical JSON still",
    ({ keyDetails, kind, rawBytes, digest, signature }, at, instead) => {
      const verifier = { kind, rawBytes, keyDetails };
      const text = decodeUtf8(
        canonicalBodyV2({ kind: "hashedrekord", digest, signature, verifier }),
      );
      const place = at % text.length;
      const changed = text.slice(0, place) + instead + text.slice(place + 1);
      if (readHashedRekordText(changed) !== null)
        expect(canonicalize(parseJson(changed))).toBe(changed);
    },
  );
});

test("a body with anything around it, or of another version, is not read", () => {
  const verifier = {
    kind: "publicKey" as const,
    rawBytes: encodeUtf8("key"),
    keyDetails: "PKIX_ECDSA_P256_SHA_256" as const,
  };
  const [digest, signature] = [encodeUtf8("digest"), encodeUtf8("signature")];
  const body = decodeUtf8(canonicalBodyV2({ kind: "hashedrekord", digest, signature, verifier }));
  expect(readHashedRekordText(body)).not.toBeNull();
  for (const other of [`${body}\n`, ` ${body}`, body.replace("0.0.2", "0.0.3"), "{}"]) {
    expect(readHashedRekordText(other)).toBeNull();
  }
});
