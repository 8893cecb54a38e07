/** DSSE envelopes: the encoding of the specification's own example, and an envelope that the public-good instance logged. */
import { createHash, verify, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { fc, test as property } from "../support/fixed-draws.ts";
import { describe, expect, test } from "vitest";
import { formatEnvelope, pae, parseEnvelope } from "../../core/formats/dsse.ts";
import { decodeBase64, decodeUtf8, encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";

const real = JSON.parse(
  readFileSync(new URL("../vectors/rekor/dsse-pypi.json", import.meta.url), "utf8"),
) as { readonly certificate: string; readonly payload: string; readonly signature: string };
const inToto = "application/vnd.in-toto+json";

describe("pre-authentication encoding", () => {
  test("is the specification's for its example", () => {
    expect(decodeUtf8(pae("http://example.com/HelloWorld", encodeUtf8("hello world")))).toBe(
      "DSSEv1 29 http://example.com/HelloWorld 11 hello world",
    );
  });

  test("counts bytes, not characters", () => {
    expect(decodeUtf8(pae("é", encodeUtf8("ü€")))).toBe("DSSEv1 2 é 5 ü€");
  });

  test("is what a real signature covers", () => {
    const certificate = new X509Certificate(Buffer.from(real.certificate, "base64"));
    const message = pae(inToto, decodeBase64(real.payload));
    const signature = decodeBase64(real.signature);
    expect(verify("sha256", message, certificate.publicKey, signature)).toBe(true);
    expect(verify("sha256", decodeBase64(real.payload), certificate.publicKey, signature)).toBe(
      false,
    );
  });
});

const signature = { sig: "AAAA" };
const good = { payload: "AA==", payloadType: inToto, signatures: [signature] };

describe("envelopes", () => {
  const anyType = fc.stringMatching(/^[a-z]{1,9}\/[a-z+.-]{1,20}$/);
  const anySignature = fc.record(
    { keyid: fc.string({ maxLength: 20 }), signature: fc.uint8Array({ minLength: 1 }) },
    { requiredKeys: ["signature"] },
  );
  property.prop([fc.uint8Array(), anyType, fc.array(anySignature, { minLength: 1, maxLength: 3 })])(
    "read back as they were written",
    (payload, payloadType, signatures) => {
      const text = formatEnvelope({ payload, payloadType, signatures });
      expect(parseEnvelope(text)).toEqual({ payload, payloadType, signatures });
      expect(formatEnvelope(parseEnvelope(text))).toBe(text);
    },
  );

  test("accept the text that the public-good Rekor hashed", () => {
    const signatures = [{ sig: real.signature, keyid: "" }];
    const text = JSON.stringify({ payload: real.payload, payloadType: inToto, signatures });
    expect(createHash("sha256").update(text).digest("hex")).toBe(
      "4a9554206a969058828e913f970fa80b85a8d9b7dce2bfb64c9675a65e1ca5e7",
    );
    expect(parseEnvelope(text).signatures).toEqual([
      { keyid: "", signature: decodeBase64(real.signature) },
    ]);
  });
});

describe("refusals", () => {
  test.for([
    ["a second spelling of a member", { ...good, Payload: "AA==" }],
    ["an unknown member", { ...good, extra: 1 }],
    ["no payload", { payloadType: inToto, signatures: [signature] }],
    ["a payload that is not base64", { ...good, payload: "A" }],
    ["a payload in base64url", { ...good, payload: "-_-_" }],
    ["a null payload", { ...good, payload: null }],
    ["no payload type", { ...good, payloadType: "" }],
    ["a payload type with a space", { ...good, payloadType: "6 payload" }],
    ["a payload type with a line feed", { ...good, payloadType: "a/b\n" }],
    ["a payload type beyond ASCII", { ...good, payloadType: "a/é" }],
    ["a payload type of 257 characters", { ...good, payloadType: "a".repeat(257) }],
    ["no signature", { ...good, signatures: [] }],
    ["signatures that are no array", { ...good, signatures: { 0: signature } }],
    ["a null signature", { ...good, signatures: [null] }],
    ["an empty sig", { ...good, signatures: [{ sig: "" }] }],
    ["a numeric sig", { ...good, signatures: [{ sig: 1 }] }],
    ["a numeric keyid", { ...good, signatures: [{ ...signature, keyid: 1 }] }],
    ["a huge keyid", { ...good, signatures: [{ ...signature, keyid: "k".repeat(1025) }] }],
    ["an unknown member of a signature", { ...good, signatures: [{ ...signature, cert: "" }] }],
    ["an array for an object", [good]],
    ["null for an object", null],
  ] as const)("refuses %s", ([, value]) => {
    expect(() => parseEnvelope(JSON.stringify(value))).toThrow(Malformed);
  });

  test("refuses a duplicate member", () => {
    const text = `{"payload":"AA==",${JSON.stringify(good).slice(1)}`;
    expect(() => parseEnvelope(text)).toThrow(Malformed);
  });

  test("takes a payload type of 256 characters and a keyid of 1024", () => {
    const longest = {
      ...good,
      payloadType: "a".repeat(256),
      signatures: [{ ...signature, keyid: "k".repeat(1024) }],
    };
    expect(parseEnvelope(JSON.stringify(longest)).payloadType).toHaveLength(256);
  });
});
