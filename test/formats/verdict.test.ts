import { expect, it } from "vitest";
import { fc, test } from "../support/fixed-draws.ts";
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
const provenance: NonNullable<VerdictFields["provenance"]> = {
  provider: "email",
  providerVersion: "3",
  mappingSha256: new Uint8Array(32).fill(4),
  assurance: { acr: "urn:mfa", amr: ["pwd"], authTimeS: 7 },
  facets: [{ name: "team", value: "x" }],
  decision: { rule: "r-1", policyVersion: "p", policySha256: new Uint8Array(32).fill(5) },
};
const second = decodeUtf8(encodeVerdict({ ...verdict, provenance }));

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
    provenance: fc.record({
      provider: fc.string(),
      providerVersion: fc.string(),
      mappingSha256: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      assurance: fc.record(
        {
          acr: fc.string(),
          amr: fc.array(fc.string(), { maxLength: 3 }),
          authTimeS: fc.nat(),
        },
        { requiredKeys: [] },
      ),
      facets: fc.array(fc.record({ name: fc.string(), value: fc.string({ unit: "grapheme" }) })),
    }),
  }),
])("decodes what it encoded, and encodes what it decoded", (fields) => {
  const bytes = encodeVerdict(fields as VerdictFields);
  const decoded = decodeVerdict(bytes);
  expect(decoded.principal).toEqual(fields.principal);
  expect(decoded.verifiedAtMs).toBe(fields.verifiedAtMs);
  expect(decoded.provenance).toEqual(fields.provenance);
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

it("a verdict of an older release, as the ledger keeps it, is read as it was", () => {
  expect(text).toBe(
    `{"v":1,"principal":{"oidcIssuer":"https://idp.example","subject":"s","challenge":"u@example.com","san":{"kind":"email","value":"u@example.com"},"extensions":[{"arc":9,"value":"x\\"&\u00e9"}]},"tokenDigest":"${"01".repeat(32)}","publicKeyHash":"${"02".repeat(32)}","verifiedAtMs":"1700000000000","nonce":"${"03".repeat(16)}"}`,
  );
  expect(decodeVerdict(encodeUtf8(text))).not.toHaveProperty("provenance");
});

it("a verdict says how its principal came about", () => {
  expect(
    second.endsWith(
      `"nonce":"${"03".repeat(16)}","provenance":{"provider":"email","providerVersion":"3","mappingSha256":"${"04".repeat(32)}","assurance":{"acr":"urn:mfa","amr":["pwd"],"authTimeS":7},"facets":[{"name":"team","value":"x"}],"decision":{"rule":"r-1","policyVersion":"p","policySha256":"${"05".repeat(32)}"}}}`,
    ),
  ).toBe(true);
  expect(decodeVerdict(encodeUtf8(second)).provenance).toEqual(provenance);
  const lone = { ...provenance, facets: [{ name: "x", value: "\ud800" }] };
  expect(() => encodeVerdict({ ...verdict, provenance: lone })).toThrow(Malformed);
});

it.each([
  ["version 1 with a provenance", second.replace('"v":2', '"v":1')],
  ["version 2 without one", text.replace('"v":1', '"v":2')],
  ["version 3", second.replace('"v":2', '"v":3')],
  ["an unknown member of it", second.replace('"facets"', '"x":1,"facets"')],
  [
    "another order",
    second.replace('"acr":"urn:mfa","amr":["pwd"]', '"amr":["pwd"],"acr":"urn:mfa"'),
  ],
  ["a short hash", second.replace("0404", "")],
  ["a time that is text", second.replace('"authTimeS":7', '"authTimeS":"7"')],
  ["a decision of null", second.replace(/"decision":\{[^}]*\}/, '"decision":null')],
])("refuses a provenance: %s", (_name, broken) => {
  expect(() => decodeVerdict(encodeUtf8(broken))).toThrow(Malformed);
});
