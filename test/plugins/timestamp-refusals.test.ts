/** Requests that the timestamp authority does not grant, in both forms. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as der from "../../core/formats/der.ts";
import { encodeBase64, encodeUtf8 } from "../../core/formats/encoding.ts";
import { parseTimestampResponse } from "../../core/formats/tsp-token.ts";
import { createTimestamp } from "../../events/timestamp.ts";
import type { TestInstallation } from "../support/boot.ts";
import { asked, imprint, query, TimestampHouse, tsaKey } from "./timestamp-house.ts";
import "../support/matchers.ts";
import { leastCpuMs } from "../support/cpu-time.ts";

let place: TimestampHouse;
let house: TestInstallation;

beforeAll(async () => {
  place = await TimestampHouse.create([tsaKey("timestamp")]);
  house = await place.boot({ key: "timestamp" });
});
afterAll(async () => {
  await house.dispose();
  place.vault.dispose();
});

const askedJson = async (text: string) =>
  await house.ask(createTimestamp, { form: "json", request: encodeUtf8(text) });

function text(response: Uint8Array): string {
  const path = join(place.vault.home, "reply");
  writeFileSync(path, response);
  return execFileSync("openssl", ["ts", "-reply", "-in", path, "-text"], { encoding: "utf8" });
}

const weak = (oid: string, length: number) =>
  der.sequence(
    der.integer(1n),
    der.sequence(
      der.sequence(der.oid(oid), der.nullValue()),
      der.octetString(new Uint8Array(length)),
    ),
  );
const extended = der.sequence(
  ...der
    .readDer(query())
    .children()
    .map(({ encoded }) => encoded),
  der.implicit(0, der.sequence(der.oid("1.2.3"), der.octetString(imprint)), true),
);

describe("rejects in the response", () => {
  test.for<[string, Uint8Array, RegExp]>([
    ["SHA-1", weak("1.3.14.3.2.26", 20), /unrecognized or unsupported algorithm/i],
    ["MD5", weak("1.2.840.113549.2.5", 16), /unrecognized or unsupported algorithm/i],
    ["another policy", query({ policy: "1.2.3" }), /policy is not supported/i],
    ["an extension", extended, /extension is not supported/i],
    ["nothing", new Uint8Array(), /data submitted has the wrong format/i],
    ["one byte", Uint8Array.of(0x30), /data submitted has the wrong format/i],
    ["a trailing byte", Uint8Array.of(...query(), 0), /data submitted has the wrong format/i],
    ["an indefinite length", Uint8Array.of(0x30, 0x80, 0, 0), /wrong format/i],
    ["a length that overflows", Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff), /wrong format/i],
    ["a nonce of 21 bytes", query({ nonce: new Uint8Array(21).fill(1) }), /wrong format/i],
    ["SHA-256 of 31 bytes", query({ messageImprint: imprint.subarray(1) }), /wrong format/i],
    ["10,000 nested sequences", new Uint8Array(16_384).fill(0x30), /wrong format/i],
    [
      "an OID of thousands of arcs",
      query({ policy: `1.2${".3".repeat(8_000)}` }),
      /policy|format/i,
    ],
  ])("%s", async ([, request, reason]) => {
    const { granted, response } = await asked(house, request);
    expect(granted).toBe(false);
    const said = text(response);
    expect(said).toContain("Status: Rejected.");
    expect(said).toMatch(reason);
    expect(said).toContain("Not included.");
  });

  test("grants a nonce of 20 bytes", async () => {
    const nonce = new Uint8Array(20).fill(0xff);
    expect(parseTimestampResponse((await asked(house, query({ nonce }))).response).nonce).toEqual(
      nonce,
    );
  });
});

describe("refuses JSON", () => {
  const hash = encodeBase64(imprint);
  const good = `"artifactHash":"${hash}","hashAlgorithm":"sha256"`;
  test.for<[string, string]>([
    ["that is none", "{"],
    ["that is a list", "[]"],
    ["without a hash", "{}"],
    ["with an unknown member", `{${good},"more":1}`],
    ["with a member twice", `{${good},"hashAlgorithm":"sha256"}`],
    ["with a short hash", `{"artifactHash":"AAAA","hashAlgorithm":"sha256"}`],
    ["with a hash that is not base64", `{"artifactHash":"*","hashAlgorithm":"sha256"}`],
    ["with certificates as text", `{${good},"certificates":"yes"}`],
    ["with a nonce as text", `{${good},"nonce":"1"}`],
    ["with a nonce with a fraction", `{${good},"nonce":1.5}`],
    ["with a nonce with an exponent", `{${good},"nonce":1e3}`],
    ["with a negative nonce", `{${good},"nonce":-1}`],
    ["with a nonce of 21 bytes", `{${good},"nonce":${2n ** 160n}}`],
    ["with a nonce of a million digits", `{${good},"nonce":1${"0".repeat(10_000)}}`],
    ["of more than 1 KiB", `{${good}${" ".repeat(1_024)}}`],
  ])("%s", async ([, request]) => {
    const refused = async () => await expect(askedJson(request)).toFailWith("malformed");
    expect(await leastCpuMs(refused)).toBeLessThan(500);
  });

  test.for([
    ["SHA-1", `{"artifactHash":"${hash}","hashAlgorithm":"sha1"}`],
    ["another policy", `{${good},"tsaPolicyOID":"1.2.3"}`],
  ] as const)("with %s, by rejecting", async ([, request]) => {
    expect((await askedJson(request)).granted).toBe(false);
  });
});
