import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { sha256 } from "../../core/crypto/hash.ts";
import * as der from "../../core/formats/der.ts";
import { concat, decodeUtf8, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { correspond } from "../../core/formats/leaf-profile.ts";
import { parseMerkleTreeLeaf, parseSctList } from "../../core/formats/sct.ts";
import { extensionOids, findExtension, parseCertificate } from "../../core/formats/x509.ts";
import type { FailureCode } from "../../events/failure.ts";
import type { Principal } from "../../events/identity.ts";
import { countRefusals, trustBundle } from "../../events/issuer.ts";
import { unverifiedIssuer } from "../../core/formats/unverified-issuer.ts";
import { softKey } from "../crypto/soft-authority.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { boot, factsIn, key, prove, request, rows } from "./issuer-house.ts";
import { issuerRooms, principal, provenance, startMs } from "./issuer-rooms.ts";
import "../support/matchers.ts";

test("a good request gets a certificate that chains, names the principal, and is logged", async () => {
  await using house = await boot();
  const { chain } = await house.issue();
  const { rooms } = house;
  expect(chain.slice(1)).toEqual(rooms.authority.chain);
  const leaf = new X509Certificate(chain[0] ?? new Uint8Array());
  expect(leaf.subjectAltName).toBe("email:user@example.com");
  expect(leaf.verify(new X509Certificate(rooms.authority.issuing.der).publicKey)).toBe(true);
  expect(leaf.validFromDate.getTime()).toBe(startMs);
  expect(leaf.validToDate.getTime()).toBe(startMs + 600_000);

  const { tbs, extensions } = parseCertificate(chain[0] ?? new Uint8Array());
  const [precertificate, final] = rooms.signed;
  expect(rooms.signed.map(({ kind }) => kind)).toEqual(["precertificate", "certificate"]);
  expect(final?.tbs).toEqual(tbs);
  expect(correspond(precertificate?.tbs ?? tbs, tbs)).toBe(true);
  const extension = findExtension({ extensions }, extensionOids.sctList);
  const scts = parseSctList(der.readOctetString(der.readDer(extension?.value ?? tbs)));
  expect(scts).toHaveLength(1);
  expect(rooms.entries).toHaveLength(1);
  const entry = parseMerkleTreeLeaf(rooms.entries[0]?.leaf ?? tbs);
  expect(entry.timestampMs).toBe(scts[0]?.timestampMs);
});

test("a certificate is told as one fact, and leaves nothing open", async () => {
  await using house = await boot();
  const { chain } = await house.issue();
  const facts = await house.facts();
  expect(facts.map(({ name }) => name)).toEqual(["certificateIssued"]);
  expect(facts[0]?.body).toMatchObject({
    oidcIssuer: principal.oidcIssuer,
    subject: principal.subject,
    san: principal.san.value,
    certificate: chain[0],
    tokenDigest: sha256(encodeUtf8("good")),
    publicKeyHash: sha256(key.spki),
  });
  expect(await rows(house.storage, "open")).toEqual([]);
  expect(await rows(house.storage, "intents")).toHaveLength(1);
  const outcomes = await rows(house.storage, "outcomes");
  expect(outcomes.map(({ value }) => JSON.parse(decodeUtf8(value)) as object)).toEqual([
    expect.objectContaining({
      outcome: "issued",
      certificateSha256: encodeHex(sha256(chain[0] ?? new Uint8Array())),
    }),
  ]);
});

test("a requester may prove its key by a certificate request", async () => {
  await using house = await boot();
  const { chain } = await house.issue({ proof: request(key) });
  expect(parseCertificate(chain[0] ?? new Uint8Array()).publicKey).toEqual(key.spki);
});

test.each([
  ["P-384", "sha384"],
  ["P-521", "sha512"],
])("a requester may hold a %s key, which signs with %s", async (curve, hash) => {
  await using house = await boot();
  const pair = softKey(curve);
  await house.issue({ proof: prove(pair, principal.challenge, hash) });
  await expect(house.issue({ proof: prove(pair) })).toFailWith("possession-unproven");
});

test("a hundred at once have a hundred serials", async () => {
  await using house = await boot();
  const answers = await Promise.all(Array.from({ length: 100 }, async () => await house.issue()));
  const serials = answers.map(({ chain }) => parseCertificate(chain[0] ?? new Uint8Array()).serial);
  expect(new Set(serials.map(encodeHex)).size).toBe(100);
  expect(serials.every((serial) => serial.length === 20)).toBe(true);
});

test("the trust bundle is the issuing chain", async () => {
  await using house = await boot();
  const { chains } = await house.installation.ask(trustBundle, {});
  expect(chains).toEqual([house.rooms.authority.chain]);
});

const spki = key.spki;
const huge = { kind: "uri" as const, value: `https://${"x".repeat(2_000)}` };
const long = Array.from({ length: 2 }, (_, at) => ({ arc: 9 + at, value: "y".repeat(4_000) }));
const refusals: readonly [string, FailureCode, object, Partial<Principal>?][] = [
  [
    "an empty proof",
    "possession-unproven",
    { proof: { ...prove(key), possession: new Uint8Array() } },
  ],
  [
    "a proof over something else",
    "possession-unproven",
    { proof: prove(key, "somebody@example.com") },
  ],
  [
    "another key's proof",
    "possession-unproven",
    { proof: { ...prove(softKey()), publicKey: spki } },
  ],
  [
    "a proof with another hash",
    "possession-unproven",
    { proof: prove(key, principal.challenge, "sha512") },
  ],
  ["no key", "key-malformed", { proof: { ...prove(key), publicKey: new Uint8Array() } }],
  [
    "a key with a trailing byte",
    "key-malformed",
    { proof: { ...prove(key), publicKey: concat(spki, Uint8Array.of(0)) } },
  ],
  ["a key on another curve", "key-insecure", { proof: prove(softKey("secp256k1")) }],
  [
    "a request signed with SHA-1",
    "possession-unproven",
    { proof: request(key, "1.2.840.10045.4.1", "sha1") },
  ],
  [
    "a request that names the wrong hash",
    "possession-unproven",
    { proof: request(key, "1.2.840.10045.4.3.3") },
  ],
  ["what the policy refuses", "policy-refused", { idToken: "refused" }],
  ["an identity that does not fit", "identity-rejected", {}, { san: huge, extensions: long }],
  [
    "an e-mail address outside ASCII",
    "identity-rejected",
    {},
    { san: { kind: "email", value: "ü@x" } },
  ],
  [
    "an extension twice",
    "identity-rejected",
    {},
    {
      extensions: [
        { arc: 9, value: "a" },
        { arc: 9, value: "b" },
      ],
    },
  ],
];

test.each(refusals)("refuses %s, and records it", async (_, code, change, who = {}) => {
  await using house = await boot();
  house.rooms.principal = { ...principal, ...who };
  await expect(house.issue(change)).toFailWith(code);
  const facts = await house.facts();
  expect(facts.map(({ name }) => name)).toEqual(["certificateRefused"]);
  expect(facts[0]?.body.code).toBe(code);
  expect(facts[0]?.body.tokenDigest).toHaveLength(32);
  expect(facts[0]?.body.subject).toBe(principal.subject);
  expect(facts[0]?.body.provenance).toEqual(provenance);
  expect(facts[0]?.body.requestId).toMatch(/^[0-9a-f]{32}$/);
  expect(facts[0]?.body.serial).toBeUndefined();
  expect(house.rooms.signed).toEqual([]);
  expect(house.rooms.entries).toEqual([]);
  expect(await rows(house.storage, "intents")).toEqual([]);
});

const garbage: readonly [string, FailureCode, object][] = [
  ["a bad token", "identity-rejected", { idToken: "bad" }],
  [
    "a broken request",
    "request-malformed",
    { proof: { kind: "request", request: Uint8Array.of(0x30, 0) } },
  ],
  ["who comes too often", "rate-limited", { idToken: "hurried" }],
];

test.each(garbage)(
  "counts %s, and writes one row however often it comes",
  async (_, code, change) => {
    const house = await boot();
    const network = "203.0.113.0/24";
    for (let time = 0; time < 20; time++) {
      await expect(house.issue({ ...change, network })).toFailWith(code);
    }
    await expect(house.issue({ ...change, network: "198.51.100.0/24" })).toFailWith(code);
    expect(await house.facts()).toEqual([]);
    await house.installation.dispose();
    const facts = await factsIn(house.storage);
    expect(facts.map(({ name }) => name)).toEqual(["refusalsCounted"]);
    const counted = facts[0]?.body.refusals ?? [];
    expect(counted.map(({ count }) => count)).toEqual([20, 1]);
    expect(counted[0]).toMatchObject({ code, network, secondMs: BigInt(startMs) });
  },
);

test("garbage of endless kinds is counted in bounded memory", async () => {
  const house = await boot();
  const refusals = Array.from({ length: 1_000 }, (_, at) => ({
    code: "malformed",
    reason: `kind ${at}`,
    network: "203.0.113.0/24",
    secondMs: 0n,
    count: 3,
  }));
  await house.installation.ask(countRefusals, { refusals });
  await house.installation.dispose();
  const [fact] = await factsIn(house.storage);
  const counted = fact?.body.refusals ?? [];
  expect(counted).toHaveLength(513);
  expect(counted.at(-1)).toMatchObject({ network: "*", oidcIssuer: "*", count: 488 * 3 });
});

test("a token nobody has verified names its issuer only in plain text", () => {
  const token = (claims: unknown) =>
    `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.c2ln`;
  expect(unverifiedIssuer(token({ iss: "https://idp.example" }))).toBe("https://idp.example");
  for (const iss of [7, "", "two words", "\u001b[31m", "x".repeat(257), null]) {
    expect(unverifiedIssuer(token({ iss }))).toBeNull();
  }
  for (const text of ["", "a.b.c", "..", token([]), "e30.W10.c2ln"]) {
    expect(unverifiedIssuer(text)).toBeNull();
  }
});

describe("the clock", () => {
  test("may stand still, but not go back, not even over a restart", async () => {
    const rooms = issuerRooms();
    const storage = memoryStorage();
    {
      await using house = await boot(rooms, storage);
      await house.issue();
      await house.issue();
      rooms.clock.at -= 1_000;
      await expect(house.issue()).toFailWith("lint-refused");
    }
    await using again = await boot(rooms, storage);
    await expect(again.issue()).toFailWith("lint-refused");
    rooms.clock.at = startMs;
    await again.issue();
  });

  test.for([
    ["ahead", 3_600_000],
    ["back", -1_001],
  ] as const)("issues nothing while it was set %s under it", async ([, byMs]) => {
    const rooms = issuerRooms();
    let setMs = 0;
    Object.assign(rooms.clock, { now: () => new Date(startMs + setMs), steadyMs: () => 0 });
    await using house = await boot(rooms);
    setMs = byMs;
    await expect(house.issue()).toFailWith("time-unavailable");
    expect(rooms.signed).toEqual([]);
    setMs = 0;
    await house.issue();
  });

  test("issues again when it was put right after a start with a wrong one, and an operator says so", async () => {
    const rooms = issuerRooms();
    let setMs = -3_600_000;
    let said = "of an earlier doubt";
    const now = () => new Date(startMs + setMs);
    Object.assign(rooms.clock, { now, steadyMs: () => 0, confirmation: () => said });
    await using house = await boot(rooms);
    setMs = 0;
    await expect(house.issue()).toFailWith("time-unavailable");
    await expect(house.issue()).toFailWith("time-unavailable");
    said = "that it is right";
    await house.issue();
    // A word is about one doubt.
    setMs = 3_600_000;
    await expect(house.issue()).toFailWith("time-unavailable");
    setMs = 0;
    await house.issue();
  });

  test("ends with the issuing CA", async () => {
    await using house = await boot();
    const { notAfter } = parseCertificate(house.rooms.authority.issuing.der);
    house.rooms.clock.at = notAfter.getTime() - 599_000;
    await expect(house.issue()).toFailWith("lint-refused");
    expect(house.rooms.signed).toEqual([]);
  });
});
