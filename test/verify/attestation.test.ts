/** What an attestation may say. */
import { describe, expect, test } from "vitest";
import { artifact, at, attested, sha256, signed, box, verify } from "./box.ts";

const subject = [{ name: "it", digest: { sha256: sha256(artifact).toHex() } }];
const statement = {
  _type: "https://in-toto.io/Statement/v1",
  subject,
  predicateType: "https://example.com/p",
  predicate: {},
};

describe("an attestation", () => {
  test("verifies", () => {
    expect(verify(attested(statement), { predicateType: "https://example.com/p" }).times).toEqual([
      at,
    ]);
  });

  test.for<[string, unknown]>([
    ["that is not JSON", "{"],
    ["that is not a statement", { ...statement, _type: "https://example.com/other" }],
    ["without a type", { ...statement, predicateType: "" }],
    ["without subjects", { ...statement, subject: [] }],
    ["with no list of subjects", { ...statement, subject: null }],
    ["with an empty subject", { ...statement, subject: [null] }],
    [
      "about something else",
      { ...statement, subject: [{ name: "it", digest: { sha256: "00".repeat(32) } }] },
    ],
    ["with a short digest", { ...statement, subject: [{ name: "it", digest: { sha256: "00" } }] }],
    [
      "with an upper-case digest",
      {
        ...statement,
        subject: [{ name: "it", digest: { sha256: sha256(artifact).toHex().toUpperCase() } }],
      },
    ],
    [
      "with only digests we cannot check",
      { ...statement, subject: [{ name: "it", digest: { md5: "00" } }] },
    ],
    [
      "with one right digest and one wrong",
      {
        ...statement,
        subject: [{ name: "it", digest: { ...subject[0]?.digest, sha512: "00".repeat(64) } }],
      },
    ],
    [
      "with 1025 subjects",
      { ...statement, subject: Array.from({ length: 1025 }, () => subject[0]) },
    ],
  ])("%s is refused", ([, bad]) => {
    expect(() => verify(attested(bad))).toThrow();
  });

  test("with 1024 subjects verifies", () => {
    const many = { ...statement, subject: Array.from({ length: 1024 }, () => subject[0]) };
    expect(() => verify(attested(many))).not.toThrow();
  });
});

describe("the type of an attestation", () => {
  test("is the one demanded", () => {
    expect(() => verify(attested(statement), { predicateType: "https://example.com/q" })).toThrow(
      "of type",
    );
  });

  test("of its payload is in-toto's", () => {
    expect(() => verify(attested(statement, "text/plain"))).toThrow("not supported");
  });

  test("is not what a bare signature is", () => {
    expect(() => verify(signed(box), { predicateType: "https://example.com/p" })).toThrow(
      "not an attestation",
    );
  });
});
