/** TUF metadata against the public-good repository's own, and by property. */
import { createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { fc, test as property } from "../support/fixed-draws.ts";
import { describe, expect, test } from "vitest";
import { encodeHex } from "../../core/formats/encoding.ts";
import { type JsonValue, parseJson } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import * as tuf from "../../core/formats/tuf.ts";

const vector = (name: string) =>
  readFileSync(new URL(`../vectors/tuf/${name}`, import.meta.url), "utf8");
const verifyEcdsa: tuf.VerifyTufSignature = (spki, message, signature) => {
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  return verify("sha256", message, key, signature);
};
const keyPair = () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  const key = tuf.tufKey(spki);
  const signRole = (signed: JsonValue) => ({
    keyid: key.keyid,
    sig: sign("sha256", tuf.signedBytes(signed), privateKey).toString("hex"),
  });
  return { spki, key, signRole };
};
const expires = new Date("2027-01-02T03:04:05Z");
const one = keyPair();
const two = keyPair();
const oneOf = { keyids: [one.key.keyid], threshold: 1 };
const root: tuf.RootRole = {
  version: 1,
  expires,
  keys: [one.key, two.key],
  roles: {
    root: { keyids: [one.key.keyid, two.key.keyid], threshold: 2 },
    targets: oneOf,
    snapshot: oneOf,
    timestamp: oneOf,
  },
};

describe("the public-good repository", () => {
  const file = tuf.parseSignedRole(vector("12.root.json"));

  test("gives every key the id we compute", () => {
    const { keys } = tuf.parseRoot(file.signed);
    expect(keys).toHaveLength(6);
    for (const { key, keyid } of keys) expect(tuf.keyId(key)).toBe(keyid);
  });

  test("signs the bytes we compute", () => {
    const timestamp = tuf.parseSignedRole(vector("timestamp.json"));
    tuf.checkSignatures(timestamp, "timestamp", tuf.parseRoot(file.signed), verifyEcdsa);
    expect(tuf.parseTimestamp(timestamp.signed)).toEqual({
      version: 401,
      expires: new Date("2025-07-14T13:28:13Z"),
      snapshot: { version: 159 },
    });
  });

  test("does not count the empty signatures of a root nobody has signed", () => {
    const unsigned = () =>
      tuf.checkSignatures(file, "root", tuf.parseRoot(file.signed), verifyEcdsa);
    expect(unsigned).toThrow(/0 of the 3/);
  });

  test("no longer verifies with another version number", () => {
    const altered = vector("timestamp.json").replace('"version": 401', '"version": 402');
    const role = tuf.parseSignedRole(altered);
    const check = () =>
      tuf.checkSignatures(role, "timestamp", tuf.parseRoot(file.signed), verifyEcdsa);
    expect(check).toThrow(Malformed);
  });
});

describe("canonical JSON", () => {
  test.for([
    [{ b: 1, a: [true, null, "x"] }, '{"a":[true,null,"x"],"b":1}'],
    ["a\nb\u0000\u2028é", '"a\nb\u0000\u2028é"'],
    ['"\\/', '"\\"\\\\/"'],
    [{ "\u{1f600}": 1, "\uffff": 2 }, '{"\uffff":2,"\u{1f600}":1}'],
    [-0, "0"],
    [{}, "{}"],
  ] as const)("writes %j", ([value, text]) => {
    expect(tuf.canonicalJson(value)).toBe(text);
  });

  test.for([1.5, 2 ** 53, 1e300, "\ud800"])("refuses %j", (value) => {
    expect(() => tuf.canonicalJson([value])).toThrow(Malformed);
  });

  const integers = fc.maxSafeInteger();
  const { value: anyValue } = fc.letrec<{ value: JsonValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.string({ unit: "grapheme" }),
      integers,
      fc.boolean(),
      fc.constant(null),
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(fc.string(), tie("value"), { maxKeys: 4, noNullPrototype: true }),
    ),
  }));

  property.prop([anyValue])(
    "does not depend on the order of members or on the file's form",
    (value) => {
      const text = tuf.formatSignedRole({ value }, []);
      expect(tuf.canonicalJson(tuf.parseSignedRole(text).signed)).toBe(
        tuf.canonicalJson({ value }),
      );
      expect(tuf.canonicalJson(reversed(value))).toBe(tuf.canonicalJson(value));
    },
  );

  property.prop([anyValue, anyValue])("tells different values apart", (a, b) => {
    const same = JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
    expect(tuf.canonicalJson(a) === tuf.canonicalJson(b)).toBe(same);
  });
});

describe("roles", () => {
  property.prop([
    fc.integer({ min: 1, max: 1e9 }),
    fc.array(
      fc.record({
        name: fc.stringMatching(/^[a-z.]{1,20}$/),
        length: fc.nat(),
        sha256: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      }),
      { maxLength: 4 },
    ),
  ])("read back as they were written", (version, listed) => {
    const targets = [...new Map(listed.map((target) => [target.name, target])).values()];
    const role = { version, expires, targets };
    expect(tuf.parseTargets(reread(tuf.targetsRole(role)))).toEqual(role);
    const meta = { version, length: 7, sha256: new Uint8Array(32) };
    const snapshot = { version, expires, targets: meta };
    expect(tuf.parseSnapshot(reread(tuf.snapshotRole(snapshot)))).toEqual(snapshot);
    const timestamp = { version, expires, snapshot: { version } };
    expect(tuf.parseTimestamp(reread(tuf.timestampRole(timestamp)))).toEqual(timestamp);
  });

  test("keep what clients like to know of a target", () => {
    const custom = { sigstore: { usage: "Fulcio", status: "Active" } };
    const target = { name: "fulcio.pem", length: 1, sha256: new Uint8Array(32), custom };
    const role = { version: 1, expires, targets: [target] };
    expect(tuf.parseTargets(reread(tuf.targetsRole(role)))).toEqual(role);
  });

  test("claim the specification and consistent snapshots", () => {
    expect(tuf.rootRole(root)).toMatchObject({
      _type: "root",
      spec_version: "1.0.31",
      consistent_snapshot: true,
      expires: "2027-01-02T03:04:05Z",
    });
    expect(tuf.parseRoot(reread(tuf.rootRole(root)))).toEqual(root);
  });

  test("refuse to be built with version 0", () => {
    expect(() => tuf.timestampRole({ version: 0, expires, snapshot: { version: 1 } })).toThrow(
      Malformed,
    );
  });

  test("are enough once their threshold of keys has signed", () => {
    const signed = tuf.rootRole(root);
    const signatures = [one.signRole(signed), two.signRole(signed)];
    const check = (present: readonly tuf.RoleSignature[]) =>
      tuf.checkSignatures({ signed, signatures: present }, "root", root, verifyEcdsa);
    check(signatures);
    expect(() => check(signatures.slice(1))).toThrow(/1 of the 2/);
    expect(() => check([one.signRole(signed), { ...two.signRole(signed), keyid: "00" }])).toThrow(
      Malformed,
    );
  });

  test("do not accept a key of the root that is not theirs", () => {
    const signed = tuf.timestampRole({ version: 1, expires, snapshot: { version: 1 } });
    const file = { signed, signatures: [two.signRole(signed)] };
    expect(() => tuf.checkSignatures(file, "timestamp", root, verifyEcdsa)).toThrow(Malformed);
  });
});

describe("refusals", () => {
  const good = tuf.rootRole(root);
  const roles = (change: object) => ({
    ...good,
    roles: { ...object(good["roles"]), timestamp: { ...oneOf, ...change } },
  });
  const twice = [one.key.keyid, one.key.keyid];
  test.for([
    ["a threshold of zero", roles({ threshold: 0 })],
    ["a negative threshold", roles({ threshold: -1 })],
    ["a threshold beyond the keys", roles({ threshold: 2 })],
    ["an enormous threshold", roles({ threshold: 2 ** 40 })],
    ["a fractional threshold", roles({ threshold: 1.5 })],
    ["a role that names a key twice", roles({ keyids: twice, threshold: 2 })],
    ["a role that names an unknown key", roles({ keyids: ["00"] })],
    ["a role without keys", roles({ keyids: [] })],
    ["a null role", { ...good, roles: { ...object(good["roles"]), root: null } }],
    ["a null key", { ...good, keys: { ...object(good["keys"]), [one.key.keyid]: null } }],
    ["a key under another id", { ...good, keys: { ["0".repeat(64)]: one.key.key } }],
    ["another type", { ...good, _type: "targets" }],
    ["another major version", { ...good, spec_version: "2.0" }],
    ["mutable snapshots", { ...good, consistent_snapshot: false }],
    ["a version of text", { ...good, version: "1" }],
    ["a time with a fraction", { ...good, expires: "2027-01-02T03:04:05.5Z" }],
    ["a time that does not exist", { ...good, expires: "2027-02-30T00:00:00Z" }],
    ["a local time", { ...good, expires: "2027-01-02T03:04:05+01:00" }],
  ] as const)("refuses a root with %s", ([, signed]) => {
    expect(() => tuf.parseRoot(reread(signed))).toThrow(Malformed);
  });

  test("refuses two signatures by one key", () => {
    const signature = { keyid: "aa", sig: "00" };
    const text = tuf.formatSignedRole({}, [signature, signature]);
    expect(() => tuf.parseSignedRole(text)).toThrow(/two signatures/);
  });

  test("refuses a key of another scheme", () => {
    const key = { ...one.key.key, scheme: "rsassa-pss-sha256" };
    expect(() => tuf.keySpki(key)).toThrow(Malformed);
    expect(encodeHex(tuf.keySpki(one.key.key))).toBe(encodeHex(one.spki));
  });
});

function reread(signed: JsonValue) {
  return tuf.parseSignedRole(tuf.formatSignedRole(signed, [])).signed;
}

function object(value: JsonValue | undefined): { readonly [name: string]: JsonValue } {
  return parseJson(JSON.stringify(value)) as { readonly [name: string]: JsonValue }; // only used on objects
}

function reversed(value: JsonValue): JsonValue {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(reversed);
  const members = Object.entries(value).map(([name, member]) => [name, reversed(member)]);
  return Object.fromEntries(members.toReversed());
}

function sorted(value: JsonValue): unknown {
  if (Object.is(value, -0)) return 0;
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return ["array", value.map(sorted)];
  const members = Object.entries(value).map(([name, member]) => [name, sorted(member)] as const);
  return ["object", members.sort(([a], [b]) => (a < b ? -1 : Number(a > b)))];
}
