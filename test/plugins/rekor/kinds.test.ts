/** Kinds besides hashedrekord and dsse: what is stored of them, whose signatures count, and what is refused. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeUtf8, encodeBase64, encodeUtf8 } from "../../../core/formats/encoding.ts";
import { Failure } from "../../../events/failure.ts";
import { createEntry, getEntry } from "../../../events/rekor.ts";
import { admitEntry } from "../../../plugins/rekor/admission.ts";
import plugin from "../../../plugins/rekor/plugin.ts";
import { bootForTest, type TestInstallation } from "../../support/boot.ts";
import { fakeLog } from "./fake-log.ts";
import { bytesOf, dsse, envelope, intoto1, intoto2, rekord, signer } from "./proposals.ts";

const log = fakeLog("7");
let house: TestInstallation;
beforeAll(async () => {
  house = await bootForTest({
    entries: [...log.plugins, plugin],
    config: { rekor: { treeId: "7" } },
  });
});
afterAll(async () => await house.dispose());

const type = "application/vnd.in-toto+json";
const payload = encodeUtf8('{"_type":"https://in-toto.io/Statement/v1"}');
const [alice, bob, carol] = [signer("P-256"), signer("ed25519"), signer("rsa")];
const sha256 = (bytes: Uint8Array | string): string =>
  createHash("sha256").update(bytes).digest("hex");
const pemOf = ({ pem }: typeof alice): string => encodeBase64(encodeUtf8(pem));

/** What is stored for a proposal; found again by the proposal itself. */
async function stored(proposed: unknown): Promise<unknown> {
  const { entry } = await house.ask(createEntry, { proposed: bytesOf(proposed) });
  const by = { kind: "proposed" as const, proposed: bytesOf(proposed) };
  expect((await house.ask(getEntry, { by })).entryId).toBe(entry.entryId);
  const body = decodeUtf8(entry.body);
  const read: unknown = JSON.parse(body);
  return read;
}

async function codeOf(proposed: unknown): Promise<string> {
  const size = log.bodies.length;
  const code = await house.ask(createEntry, { proposed: bytesOf(proposed) }).then(
    () => "accepted",
    (thrown: unknown) => Failure.from(thrown).code,
  );
  expect(log.bodies).toHaveLength(size);
  return code;
}

describe("intoto 0.0.1", () => {
  test.each([
    ["P-256", alice],
    ["Ed25519", bob],
    ["RSA", carol],
  ])("by %s keeps two hashes and the key", async (_, by) => {
    const signed = envelope([by], type, payload);
    expect(await stored(intoto1(signed, by))).toEqual({
      apiVersion: "0.0.1",
      kind: "intoto",
      spec: {
        content: {
          hash: { algorithm: "sha256", value: sha256(JSON.stringify(signed)) },
          payloadHash: { algorithm: "sha256", value: sha256(payload) },
        },
        publicKey: pemOf(by),
      },
    });
  });

  test("is about one of the signers, whatever hashes the client gives", async () => {
    const signed = envelope([alice, bob], type, payload);
    const proposed = intoto1(signed, bob);
    const hash = { algorithm: "sha256", value: "00".repeat(32) };
    const lying = {
      ...proposed,
      spec: { ...proposed.spec, content: { ...proposed.spec.content, hash, payloadHash: hash } },
    };
    expect(await stored(lying)).toEqual(await stored(proposed));
    expect(await codeOf(intoto1(signed, carol))).toBe("signature-invalid");
  });
});

describe("intoto 0.0.2", () => {
  const signed = envelope([alice, bob, carol], type, payload);
  const proposed = intoto2(signed, [alice, bob, carol]);

  test("keeps signatures in their order, each with its key, and no payload", async () => {
    const { payload: _, ...kept } = proposed.spec.content.envelope;
    expect(await stored(proposed)).toEqual({
      ...proposed,
      spec: {
        content: {
          envelope: kept,
          hash: proposed.spec.content.hash,
          payloadHash: { algorithm: "sha256", value: sha256(payload) },
        },
      },
    });
  });

  test.each<[string, unknown, string]>([
    ["a key that signed another", intoto2(signed, [bob, alice, carol]), "signature-invalid"],
    ["a key that signed nothing", intoto2(signed, [alice, bob, alice]), "signature-invalid"],
    ["a key too few", intoto2(signed, [alice, bob]), "malformed"],
    ["no signature", intoto2({ ...signed, signatures: [] }, []), "malformed"],
    [
      "nine signatures",
      intoto2(
        envelope(
          Array.from({ length: 9 }, () => alice),
          type,
          payload,
        ),
        Array.from({ length: 9 }, () => alice),
      ),
      "malformed",
    ],
    [
      "another payload",
      intoto2({ ...signed, payload: encodeBase64(encodeUtf8("{}")) }, [alice, bob, carol]),
      "signature-invalid",
    ],
    [
      "another payload type",
      intoto2({ ...signed, payloadType: "text/plain" }, [alice, bob, carol]),
      "signature-invalid",
    ],
    ["a payload in base64 once", once(), "malformed"],
    ["a hash in capitals", hashed({ algorithm: "sha256", value: "AB".repeat(32) }), "malformed"],
    ["a hash of SHA-512", hashed({ algorithm: "sha512", value: "ab".repeat(64) }), "malformed"],
  ])("refuses %s", async (_, value, code) => {
    expect(await codeOf(value)).toBe(code);
  });

  function once(): unknown {
    const { content } = proposed.spec;
    const bare = { ...content.envelope, payload: signed.payload };
    return { ...proposed, spec: { content: { ...content, envelope: bare } } };
  }

  function hashed(hash: object): unknown {
    return { ...proposed, spec: { content: { ...proposed.spec.content, hash } } };
  }
});

test("tells the log what an attestation is about, and of no other envelope", () => {
  const subject = sha256("an artifact");
  const about = encodeUtf8(JSON.stringify({ subject: [{ digest: { sha256: subject } }] }));
  const found = (proposed: unknown) =>
    Buffer.from(admitEntry(bytesOf(proposed)).subjects).toString("hex");
  const statement = envelope([alice], type, about);
  const proposals = [
    dsse(statement, [alice]),
    intoto1(statement, alice),
    intoto2(statement, [alice]),
  ];
  expect(proposals.map(found)).toEqual([subject, subject, subject]);
  expect(found(dsse(envelope([alice], "text/plain", about), [alice]))).toBe("");
  expect(found(rekord(alice, about))).toBe("");
});

describe("rekord 0.0.1", () => {
  const data = encodeUtf8("data");

  test.each([
    ["P-256", alice],
    ["Ed25519", bob],
    ["RSA", carol],
    ["P-384 over SHA-256", signer("P-384")],
  ])("by %s keeps the hash of its data", async (_, by) => {
    const proposed = rekord(by, data);
    const hash = { algorithm: "sha256", value: sha256(data) };
    const kept = { ...proposed, spec: { ...proposed.spec, data: { hash } } };
    expect(await stored(proposed)).toEqual(kept);
    const told = { ...proposed, spec: { ...proposed.spec, data: { ...proposed.spec.data, hash } } };
    expect(await stored(told)).toEqual(kept);
  });

  const proposed = rekord(alice, data);
  const withFormat = (format: unknown) => ({
    ...proposed,
    // Nothing of it is decoded: what is broken here would be malformed.
    spec: { data: { content: "*" }, signature: { ...proposed.spec.signature, format } },
  });
  const withData = (change: object) => ({
    ...proposed,
    spec: { ...proposed.spec, data: { ...proposed.spec.data, ...change } },
  });
  test.each<[string, unknown, string]>([
    ["pgp", withFormat("pgp"), "entry-unsupported"],
    ["minisign", withFormat("minisign"), "malformed"],
    ["ssh", withFormat("ssh"), "malformed"],
    ["X509", withFormat("X509"), "entry-unsupported"],
    ["other data", withData({ content: "b3RoZXI=" }), "signature-invalid"],
    [
      "a hash of other data",
      withData({ hash: { algorithm: "sha256", value: "ab".repeat(32) } }),
      "malformed",
    ],
    [
      "no data but a hash",
      withData({ content: "", hash: { algorithm: "sha256", value: sha256(data) } }),
      "malformed",
    ],
    ["a url", withData({ url: "http://a/" }), "malformed"],
  ])("refuses %s", async (_, value, code) => {
    expect(await codeOf(value)).toBe(code);
  });
});

test.each(["alpine", "cose", "helm", "jar", "rfc3161", "rpm", "tuf", "toString"])(
  "refuses the kind %s before it decodes anything",
  async (kind) => {
    const spec = { package: { content: "*" }, archive: "H4sI", message: 7 };
    expect(await codeOf({ apiVersion: "0.0.1", kind, spec })).toBe("entry-unsupported");
    expect(await codeOf({ apiVersion: "0.0.1", kind, spec: null })).toBe("entry-unsupported");
  },
);
