import { describe, expect, test } from "vitest";
import { formatBundle, parseBundle } from "../../core/formats/bundle.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { vector } from "../verify/public-good.ts";

type Json = { [name: string]: unknown };

const v03 = vector("othername.sigstore.json");
const v01 = vector("dsse.sigstore.json");

/** The text of a bundle after `change` has had its way with it. */
function changed(text: string, change: (bundle: { [name: string]: Json }) => void): string {
  const bundle = JSON.parse(text) as { [name: string]: Json };
  change(bundle);
  return JSON.stringify(bundle);
}

/** The verification material of a bundle. */
function materialOf(bundle: { [name: string]: Json }): Json & { tlogEntries: Json[] } {
  return bundle["verificationMaterial"] as Json & { tlogEntries: Json[] };
}

describe("parseBundle", () => {
  test("reads what formatBundle writes", () => {
    const bundle = parseBundle(v03);
    expect(parseBundle(formatBundle(bundle))).toEqual(bundle);
  });

  test.for([
    ["bundle-publish.json", "publicKey", "0.1"],
    ["bundle-provenance.json", "certificate", "0.1"],
    ["sigstore.js@2.0.0-provenance.sigstore.json", "certificate", "0.1"],
    ["public-key-validity.sigstore.json", "publicKey", "0.3"],
  ] as const)("reads %s", ([name, kind, version]) => {
    const bundle = parseBundle(vector(name));
    expect([bundle.signer.kind, bundle.version]).toEqual([kind, version]);
  });

  test("refuses two DSSE signatures", () => {
    expect(() => parseBundle(vector("dsse-2sigs.sigstore.json"))).toThrow("exactly one signature");
  });

  test.for([
    "application/vnd.dev.sigstore.bundle+json;version=0.4",
    "application/vnd.dev.sigstore.bundle.v0.4+json",
    "application/vnd.dev.sigstore.bundle.v0.2+json",
    "application/vnd.dev.sigstore.bundle+json; version=0.3",
    "application/json",
    "",
  ])("refuses the media type %s", (mediaType) => {
    const text = changed(v03, (bundle) => Object.assign(bundle, { mediaType }));
    expect(() => parseBundle(text)).toThrow(Malformed);
  });
});

const broken: readonly [string, string, (bundle: { [name: string]: Json }) => void][] = [
  [
    "0.3 with a chain",
    v01,
    (b) => Object.assign(b, { mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json" }),
  ],
  [
    "0.2 with a single certificate",
    v03,
    (b) => Object.assign(b, { mediaType: "application/vnd.dev.sigstore.bundle+json;version=0.2" }),
  ],
  [
    "0.3 without inclusion proof",
    v03,
    (b) => delete materialOf(b).tlogEntries[0]?.["inclusionProof"],
  ],
  [
    "0.1 without inclusion promise",
    v01,
    (b) => delete materialOf(b).tlogEntries[0]?.["inclusionPromise"],
  ],
  [
    "an empty chain",
    v01,
    (b) => Object.assign(materialOf(b), { x509CertificateChain: { certificates: [] } }),
  ],
  [
    "a certificate and a key",
    v03,
    (b) => Object.assign(materialOf(b), { publicKey: { hint: "x" } }),
  ],
  ["no signer", v03, (b) => delete materialOf(b)["certificate"]],
  ["two contents", v03, (b) => Object.assign(b, { dsseEnvelope: {} })],
  ["no content", v03, (b) => delete b["messageSignature"]],
  [
    "an entry twice",
    v03,
    (b) => materialOf(b).tlogEntries.push(materialOf(b).tlogEntries[0] ?? {}),
  ],
  ["a snake_case field", v03, (b) => Object.assign(b, { media_type: "x" })],
  [
    "a negative index",
    v03,
    (b) => Object.assign(materialOf(b).tlogEntries[0] ?? {}, { logIndex: "-1" }),
  ],
  [
    "an index beyond 63 bits",
    v03,
    (b) => Object.assign(materialOf(b).tlogEntries[0] ?? {}, { logIndex: "9223372036854775808" }),
  ],
  ["a fraction", v03, (b) => Object.assign(materialOf(b).tlogEntries[0] ?? {}, { logIndex: 1.5 })],
  [
    "a digest of the wrong length",
    v03,
    (b) =>
      Object.assign(b["messageSignature"] ?? {}, {
        messageDigest: { algorithm: "SHA2_256", digest: "AAAA" },
      }),
  ],
  [
    "SHA-1",
    v03,
    (b) =>
      Object.assign(b["messageSignature"] ?? {}, {
        messageDigest: { algorithm: "SHA1", digest: "AAAA" },
      }),
  ],
];

describe("a bundle that is not one", () => {
  test.for(broken)("is refused: %s", ([, text, change]) => {
    expect(() => parseBundle(changed(text, change))).toThrow(Malformed);
  });

  test.for([
    "",
    "{",
    "null",
    "[]",
    "{}",
    '{"mediaType":1}',
    `${v03}x`,
    v03.replace("{", '{"mediaType":"x",'),
  ])("refuses a text that is no bundle, %#", (text) => {
    expect(() => parseBundle(text)).toThrow(Malformed);
  });
});

describe("the evidence in a bundle", () => {
  test("takes 32 entries and timestamps, not 33", () => {
    const withEntries = (count: number) =>
      changed(v03, (bundle) => {
        const [entry = {}] = materialOf(bundle).tlogEntries;
        materialOf(bundle).tlogEntries = Array.from({ length: count }, (_, at) => ({
          ...entry,
          logIndex: String(at),
        }));
      });
    const withTimestamps = (count: number) =>
      changed(v03, (bundle) => {
        const rfc3161Timestamps = Array.from({ length: count }, (_, at) => ({
          signedTimestamp: Uint8Array.of(48, at).toBase64(),
        }));
        Object.assign(materialOf(bundle), { timestampVerificationData: { rfc3161Timestamps } });
      });
    for (const grown of [withEntries, withTimestamps]) {
      expect(() => parseBundle(grown(32))).not.toThrow();
      expect(() => parseBundle(grown(33))).toThrow("more than 32");
    }
  });

  test("refuses a timestamp that is given twice", () => {
    const text = changed(v03, (bundle) => {
      const one = { signedTimestamp: "MAA=" };
      Object.assign(materialOf(bundle), {
        timestampVerificationData: { rfc3161Timestamps: [one, one] },
      });
    });
    expect(() => parseBundle(text)).toThrow("given twice");
  });
});
