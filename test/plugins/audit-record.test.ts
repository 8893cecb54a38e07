/** Records of entries are written out: they must be the canonical JSON of what they say. */
import { fc, test as property } from "../support/fixed-draws.ts";
import { expect, test as plainTest } from "vitest";
import { decodeUtf8, encodeUtf8 } from "../../core/formats/encoding.ts";
import { canonicalize } from "../../core/formats/jcs.ts";
import { type JsonValue, parseJson } from "../../core/formats/json.ts";
import { canonicalBodyV2 } from "../../core/formats/rekor-v2.ts";
import { recordEntry } from "../../plugins/audit/entries.ts";
import { recordIssued, recordRefused } from "../../plugins/audit/issuances.ts";
import { formatRecord, parseRecord } from "../../plugins/audit/record.ts";
import { boxKey, sigstoreBox } from "../support/sigstore-box.ts";

const hex = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => bytes.toHex());
const text = fc
  .string({ unit: "binary" })
  .filter((drawn) => !/\p{Noncharacter_Code_Point}/u.test(drawn));
const maybe = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined });

const entry = fc.record({
  kind: fc.constant("signature-entry" as const),
  source: fc.record({ stream: text, sequence: fc.nat() }),
  log: text,
  index: fc.nat().map(String),
  leafHash: hex,
  at: fc.constantFrom("2026-11-21T10:00:00.000Z", "2027-01-01T00:00:00.123Z"),
  type: text,
  digests: fc.array(
    fc.record({
      of: fc.constantFrom("artifact" as const, "envelope" as const, "payload" as const),
      algorithm: text,
      value: hex,
    }),
    { maxLength: 3 },
  ),
  signers: fc.array(
    fc.record({
      publicKeySha256: maybe(hex),
      fingerprint: maybe(hex),
      serial: maybe(hex),
      san: maybe(text),
      oidcIssuer: maybe(text),
    }),
    { maxLength: 3 },
  ),
});

property.prop([fc.record({ sequence: fc.integer({ min: 1 }), previous: hex, body: entry })])(
  "the record of an entry is canonical JSON, and reads back",
  (record) => {
    const written = formatRecord(record);
    // Members that are not there are none.
    const told = JSON.parse(JSON.stringify(record)) as JsonValue;
    expect(decodeUtf8(written)).toBe(canonicalize(told));
    expect(parseJson(decodeUtf8(written))).toEqual(told);
    expect(formatRecord(parseRecord(written))).toEqual(written);
  },
);

const provenance = {
  provider: "github",
  providerVersion: "3",
  mappingSha256: new Uint8Array(32).fill(1),
  assurance: { acr: "2", amr: ["pwd", "otp"], authTimeS: 1 },
  facets: [{ name: "team", value: "a" }],
  decision: { rule: "all", policyVersion: "7", policySha256: new Uint8Array(32).fill(2) },
};
const request = {
  oidcIssuer: "https://idp.test",
  subject: "subject",
  san: "dev@example.com",
  sanKind: "email" as const,
  extensions: Array.from({ length: 15 }, (_, at) => ({ arc: 23 - at, value: `value ${at}` })),
  tokenDigest: new Uint8Array(32).fill(3),
  serial: new Uint8Array(20).fill(0x41),
  requestId: "0af7651916cd43dd8448eb211c80319c",
  provenance,
};
const source = { sequence: 7, stream: "issuer/main" };

plainTest.for([
  recordIssued(
    {
      ...request,
      publicKeyHash: new Uint8Array(32).fill(4),
      certificate: new Uint8Array(300).fill(5),
      ctTimestampMs: 1n,
      issuedAtMs: 2n,
    },
    source,
  ),
  recordRefused({ ...request, code: "lint-refused", reason: "no", refusedAtMs: 3n }, source),
])("a record (%#) is canonical JSON because it is made in its order", (body) => {
  const record = { sequence: 1, previous: "0".repeat(64), body };
  const written = formatRecord(record);
  const told = JSON.parse(JSON.stringify(record)) as JsonValue;
  expect(decodeUtf8(written)).toBe(canonicalize(told));
  expect(decodeUtf8(written)).toContain(JSON.stringify(body));
  expect(parseRecord(written)).toEqual(record);
});

plainTest.for(["\ufffe", "name\u{10ffff}"])(
  "a certificate's name that JSON may not hold (%#) makes no record that cannot be read",
  (value) => {
    const now = new Date(Date.UTC(2026, 10, 21));
    const who = {
      san: { kind: "otherName" as const, value },
      oidcIssuer: "https://idp.test",
      at: now,
    };
    const rawBytes = sigstoreBox(now).certify(boxKey().spki, who);
    const keyDetails = "PKIX_ECDSA_P256_SHA_256" as const;
    const leaf = canonicalBodyV2({
      kind: "hashedrekord",
      digest: encodeUtf8("digest"),
      signature: encodeUtf8("signature"),
      verifier: { kind: "x509Certificate", rawBytes, keyDetails },
    });
    const stored = { index: 0n, entry: leaf, extraData: new Uint8Array(), integratedAtMs: 0n };
    const body = recordEntry("rekor", stored, { stream: "log/rekor", sequence: 1 });
    const record = { sequence: 1, previous: "0".repeat(64), body };
    expect(parseRecord(formatRecord(record))).toEqual(record);
    expect(body).toMatchObject({ signers: [{ oidcIssuer: "https://idp.test" }] });
    expect(JSON.stringify(body)).not.toContain(value);
  },
);
