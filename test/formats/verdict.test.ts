import { expect, it } from "vitest";
import { fc, test } from "@fast-check/vitest";
import { decodeUtf8, encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { decodeVerdict, encodeVerdict, type VerdictFields } from "../../core/formats/verdict.ts";

const verdict: VerdictFields = {
  principal: {
    oidcIssuer: "https://idp.example",
    subject: "s",
    challenge: "u@example.com",
    san: { kind: "email", value: "u@example.com" },
    extensions: [{ arc: 9, value: 'x"&\u00e9' }],
  },
  tokenDigest: new Uint8Array(32).fill(1),
  publicKeyHash: new Uint8Array(32).fill(2),
  verifiedAtMs: 1_700_000_000_000n,
  nonce: new Uint8Array(16).fill(3),
};
const text = decodeUtf8(encodeVerdict(verdict));

test.prop([
  fc.record({
    principal: fc.record({
      oidcIssuer: fc.string({ unit: "grapheme" }),
      subject: fc.string({ unit: "grapheme" }),
      challenge: fc.string(),
      san: fc.record({ kind: fc.constantFrom("email", "uri", "otherName"), value: fc.string() }),
      extensions: fc.array(fc.record({ arc: fc.integer({ min: 2, max: 23 }), value: fc.string() })),
    }),
    tokenDigest: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    publicKeyHash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    verifiedAtMs: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
    nonce: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  }),
])("decodes what it encoded, and encodes what it decoded", (fields) => {
  const bytes = encodeVerdict(fields as VerdictFields);
  const decoded = decodeVerdict(bytes);
  expect(decoded.principal).toEqual(fields.principal);
  expect(decoded.verifiedAtMs).toBe(fields.verifiedAtMs);
  expect(encodeVerdict(decoded)).toEqual(bytes);
});

it.each([
  ["white space", ` ${text}`],
  ["another order", text.replace('"v":1,', "").replace(/\}$/, ',"v":1}')],
  ["another version", text.replace('"v":1', '"v":2')],
  ["an unknown member", text.replace('"v":1', '"v":1,"w":1')],
  ["a duplicate member", text.replace('"subject":"s"', '"subject":"t","subject":"s"')],
  ["another escape", text.replace("https", "\\u0068ttps")],
  ["upper-case hex", text.replace("0202", "0A0A")],
  ["a short digest", text.replace("0101", "")],
  ["a leading zero", text.replace('"1700', '"01700')],
  ["an arc out of range", text.replace('"arc":9', '"arc":24')],
  ["a name of no kind", text.replace('"kind":"email"', '"kind":"dns"')],
  ["a member missing", text.replace('"subject":"s",', "")],
  ["something after it", `${text}{}`],
  ["nothing", ""],
])("refuses %s", (_name, broken) => {
  expect(() => decodeVerdict(encodeUtf8(broken))).toThrow(Malformed);
});
