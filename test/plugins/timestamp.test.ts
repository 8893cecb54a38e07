/** The timestamp authority on a real vault: what it grants, and the chains it does not start with. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sha384 } from "../../core/crypto/hash.ts";
import * as der from "../../core/formats/der.ts";
import { encodeBase64, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { formatPem } from "../../core/formats/pem.ts";
import { parseTimestampResponse } from "../../core/formats/tsp-token.ts";
import { type Extension, extensionOids, keyPurposes } from "../../core/formats/x509.ts";
import { createTimestamp, timestampChain } from "../../events/timestamp.ts";
import type { TestInstallation } from "../support/boot.ts";
import { ownExtensions, purposes, softTsa } from "../support/soft-tsa.ts";
import type { SoftKey } from "../support/vault.ts";
import { asked, imprint, policy, query, TimestampHouse, tsaKey } from "./timestamp-house.ts";
import "../support/matchers.ts";

const usage = (bits: Uint8Array, unused: number): Extension => ({
  oid: extensionOids.keyUsage,
  critical: true,
  value: der.bitString(bits, unused),
});
const ca: Extension = {
  oid: extensionOids.basicConstraints,
  critical: true,
  value: der.sequence(der.boolean(true)),
};
const [goodUsage = ca, goodPurpose = ca] = ownExtensions;

/** Keys whose chains must not come into use, and what is said of them (TC-T5). */
const unusable: readonly (readonly [string, SoftKey, RegExp])[] = [
  [
    "two-purposes",
    tsaKey("two-purposes", {
      own: [goodUsage, purposes(true, keyPurposes.timeStamping, keyPurposes.codeSigning)],
    }),
    /nothing else/,
  ],
  [
    "not-critical",
    tsaKey("not-critical", { own: [goodUsage, purposes(false, keyPurposes.timeStamping)] }),
    /not critical/,
  ],
  ["is-ca", tsaKey("is-ca", { own: [goodUsage, goodPurpose, ca] }), /a CA's/],
  ["no-usage", tsaKey("no-usage", { own: [goodPurpose] }), /digitalSignature/],
  [
    "other-usage",
    tsaKey("other-usage", { own: [usage(Uint8Array.of(0x20), 5), goodPurpose] }),
    /digitalSignature/,
  ],
  [
    "other-key",
    tsaKey("other-key", {}, { chain: () => softTsa(new Date()).chain }),
    /for another key/,
  ],
  [
    "alone",
    tsaKey(
      "alone",
      {},
      {
        chain: (publicKey) => softTsa(new Date(), { publicKey }).chain.slice(0, 1),
      },
    ),
    /an authority above/,
  ],
  ["wrong-ca", tsaKey("wrong-ca", { caPurpose: keyPurposes.codeSigning }), /not for timeStamping/],
  [
    "broken-chain",
    tsaKey(
      "broken-chain",
      {},
      {
        chain: (publicKey) => [
          ...softTsa(new Date(), { publicKey }).chain.slice(0, 1),
          ...softTsa(new Date()).chain.slice(1),
        ],
      },
    ),
    /hold together/,
  ],
];

let place: TimestampHouse;

beforeAll(async () => {
  place = await TimestampHouse.create([
    tsaKey("timestamp"),
    tsaKey("p384", {}, { algorithm: "ecdsa-p384" }),
    ...unusable.map(([, key]) => key),
  ]);
});
afterAll(() => {
  place.vault.dispose();
});

describe("grants", () => {
  let house: TestInstallation;
  beforeAll(async () => {
    house = await place.boot({ key: "timestamp" });
  });
  afterAll(async () => await house.dispose());

  test("what is asked for, and openssl agrees", async () => {
    const nonce = Uint8Array.of(0x80, 7);
    const { granted, response } = await asked(house, query({ policy, nonce, certReq: true }));
    expect(granted).toBe(true);
    const token = parseTimestampResponse(response);
    expect(token).toMatchObject({ messageImprint: imprint, nonce, policy });
    expect(token.certificates).toHaveLength(1);
    const path = (name: string) => join(place.vault.home, name);
    const { certificates } = await house.ask(timestampChain, {});
    expect(certificates[0]).toEqual(token.certificates[0]);
    const pems = certificates.map((one) => formatPem("CERTIFICATE", one));
    writeFileSync(path("reply"), response);
    writeFileSync(path("root.pem"), pems.at(-1) ?? "");
    writeFileSync(path("chain.pem"), pems.join(""));
    const said = execFileSync(
      "openssl",
      ["ts", "-verify", "-in", path("reply"), "-digest", encodeHex(imprint)].concat([
        "-CAfile",
        path("root.pem"),
        "-untrusted",
        path("chain.pem"),
      ]),
      { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] },
    );
    expect(said).toContain("Verification: OK");
  });

  test("many at once, no serial number twice, no time going back", async () => {
    const responses = await Promise.all(
      Array.from({ length: 200 }, async () => await asked(house)),
    );
    const serials = responses.map(({ response }) => {
      const { tstInfo } = parseTimestampResponse(response);
      return encodeHex(der.readDer(tstInfo).children()[3]?.content ?? new Uint8Array());
    });
    expect(new Set(serials).size).toBe(200);
    expect(serials.every((serial) => serial.length === 40)).toBe(true);
  });

  test("JSON with a nonce that no double holds", async () => {
    const nonce = 2n ** 159n - 1n;
    const { response } = await askedJson(
      house,
      `{"artifactHash":"${encodeBase64(imprint)}","hashAlgorithm":"sha256","nonce":${nonce}}`,
    );
    const token = parseTimestampResponse(response);
    expect(BigInt(`0x${encodeHex(token.nonce ?? new Uint8Array())}`)).toBe(nonce);
    expect(token.certificates).toEqual([]);
  });
});

describe("another configuration", () => {
  test("signs with a P-384 key, and sends the whole chain", async () => {
    await using other = await place.boot({ key: "p384", includeChain: true });
    const request = query({
      hashAlgorithm: "sha384",
      messageImprint: sha384(imprint),
      certReq: true,
    });
    const token = parseTimestampResponse((await asked(other, request)).response);
    expect(token.signer.digestAlgorithm).toBe("sha384");
    const { certificates } = await other.ask(timestampChain, {});
    expect(token.certificates.map(encodeHex).toSorted()).toEqual(
      certificates.map(encodeHex).toSorted(),
    );
  });

  test("without a key has no authority, and is well", async () => {
    await using other = await place.boot({});
    await expect(asked(other)).toFailWith("not-found");
    await expect(other.ask(timestampChain, {})).toFailWith("not-found");
    expect(other.health()["timestamp"]).toEqual({ status: "ok" });
  });

  test.for(unusable)("does not start with the chain %s", async ([key, , reason]) => {
    await expect(place.boot({ key })).rejects.toThrow(reason);
  });
});
const askedJson = async (house: TestInstallation, text: string) =>
  await house.ask(createTimestamp, { form: "json", request: encodeUtf8(text) });
