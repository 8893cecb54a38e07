/** What is kept of a statement's subjects, whatever the statement is. */
import { expect, test } from "vitest";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { maxSubjects, readSubjects, subjectDigests } from "../../core/formats/in-toto-subjects.ts";
import { fc, test as property } from "../support/fixed-draws.ts";

const digest = (n: number): string => n.toString(16).padStart(64, "0");
const statement = (subject: unknown): Uint8Array =>
  encodeUtf8(JSON.stringify({ _type: "https://in-toto.io/Statement/v1", subject }));
const found = (payload: Uint8Array) => readSubjects(subjectDigests(payload));

test("keeps the SHA-256 of every subject once, in order", () => {
  const subjects = [2, 1, 2].map((n) => ({ name: "x", digest: { sha256: digest(n), sha1: "ab" } }));
  expect(found(statement(subjects))).toEqual([digest(2), digest(1)]);
  const upper = [{ digest: { sha256: digest(0xabc).toUpperCase() } }];
  expect(found(statement(upper))).toEqual([digest(0xabc)]);
});

test("looks at so many subjects and no more", () => {
  const subjects = Array.from({ length: maxSubjects + 1 }, (_, n) => ({
    digest: { sha256: digest(n) },
  }));
  expect(found(statement(subjects))).toHaveLength(maxSubjects);
  expect(found(statement(subjects.slice(1)))).toContain(digest(maxSubjects));
});

test("looks at no statement that is too large", () => {
  const subjects = [{ digest: { sha256: digest(1) } }];
  const padded = (size: number) => {
    const plain = statement(subjects);
    return encodeUtf8(new TextDecoder().decode(plain) + " ".repeat(size - plain.length));
  };
  expect(found(padded(1_048_576))).toHaveLength(1);
  expect(found(padded(1_048_577))).toEqual([]);
});

test.for([
  ["no JSON", encodeUtf8("{")],
  ["no text", Uint8Array.of(0xff)],
  ["no object", encodeUtf8("[1]")],
  ["no subjects", encodeUtf8("{}")],
  ["subjects that are none", statement({ digest: { sha256: digest(1) } })],
  ["a subject that is null", statement([null, 1, [], { digest: null }])],
  ["a digest of another length", statement([{ digest: { sha256: "ab" } }])],
  ["a digest that is a list", statement([{ digest: { sha256: [digest(1)] } }])],
  ["members of every object", statement([{ digest: { toString: digest(1) } }])],
] as const)("keeps nothing of %s", ([, payload]) => {
  expect(found(payload)).toEqual([]);
});

property.prop([fc.json()])("fails for nothing that is JSON", (text) => {
  expect(subjectDigests(encodeUtf8(text)).length % 32).toBe(0);
});
