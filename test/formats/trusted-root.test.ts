import { describe, expect, test } from "vitest";
import { Malformed } from "../../core/formats/malformed.ts";
import { formatSigningConfig, parseSigningConfig } from "../../core/formats/signing-config.ts";
import { covers, formatTrustedRoot, parseTrustedRoot } from "../../core/formats/trusted-root.ts";
import { vector } from "../verify/public-good.ts";

const publicGood = vector("trusted-root-public-good.json");

describe("trusted roots", () => {
  test.for(["trusted-root-public-good.json", "scaffolding.json", "public-key-validity.json"])(
    "survive a round trip: %s",
    (name) => {
      const root = parseTrustedRoot(vector(name));
      const text = formatTrustedRoot(root);
      expect(parseTrustedRoot(text)).toEqual(root);
      expect(formatTrustedRoot(parseTrustedRoot(text))).toBe(text);
    },
  );

  test("are written without what deployed clients refuse", () => {
    const text = formatTrustedRoot(parseTrustedRoot(publicGood));
    expect(text).not.toMatch(/operator|checkpointKeyId|\.000Z|BEGIN/);
    expect(JSON.parse(text)).toMatchObject({
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    });
  });

  test.for<[string, (text: string) => string]>([
    ["another media type", (text) => text.replace("version=0.1", "version=0.2")],
    ["an operator", (text) => text.replace('"baseUrl"', '"operator":"x","baseUrl"')],
    [
      "a validity without start",
      (text) => text.replace(/"start": ?"[^"]*"/, '"end":"2030-01-01T00:00:00Z"'),
    ],
    ["a log without validity", (text) => text.replace(/,\s*"validFor": ?\{[^}]*\}/, "")],
    ["a log without id", (text) => text.replace(/,\s*"logId": ?\{[^}]*\}/, "")],
    ["a short log id", (text) => text.replace(/"keyId": ?"[^"]*"/, '"keyId":"AAAA"')],
    ["SHA-512 trees", (text) => text.replace("SHA2_256", "SHA2_512")],
    ["31 February", (text) => text.replace(/"start": ?"[^"]*"/, '"start":"2022-02-31T00:00:00Z"')],
    [
      "a local time",
      (text) => text.replace(/"start": ?"[^"]*"/, '"start":"2022-02-01T00:00:00+01:00"'),
    ],
    [
      "PEM",
      (text) => text.replace(/"rawBytes": ?"[^"]*"/, '"rawBytes":"-----BEGIN PUBLIC KEY-----"'),
    ],
    ["an empty chain", (text) => text.replace(/"certificates": ?\[[^\]]*\]/, '"certificates":[]')],
  ])("with %s are refused", ([, change]) => {
    expect(change(publicGood)).not.toBe(publicGood);
    expect(() => parseTrustedRoot(change(publicGood))).toThrow(Malformed);
  });

  test("hold from start to end, both included", () => {
    const [start, end] = [new Date(1000), new Date(2000)];
    const answers = [999, 1000, 2000, 2001].map((ms) => covers({ start, end }, new Date(ms)));
    expect(answers).toEqual([false, true, true, false]);
    expect(covers({ start, end: null }, new Date("9999-01-01"))).toBe(true);
  });
});

describe("signing configurations", () => {
  const staging = vector("signing_config.v0.2.json");

  test("survive a round trip", () => {
    const config = parseSigningConfig(staging);
    expect(parseSigningConfig(formatSigningConfig(config))).toEqual(config);
    expect(JSON.parse(formatSigningConfig(config))).toEqual(JSON.parse(staging));
  });

  test.for<[string, (text: string) => string]>([
    ["another media type", (text) => text.replace("v0.2", "v0.1")],
    ["a selector other than ANY", (text) => text.replace("ANY", "ALL")],
    ["an unknown field", (text) => text.replace('"caUrls"', '"x":1,"caUrls"')],
    [
      "a version that is none",
      (text) => text.replace(/"majorApiVersion": ?1/, '"majorApiVersion":0'),
    ],
    ["a service without URL", (text) => text.replace('"url"', '"uri"')],
  ])("with %s are refused", ([, change]) => {
    expect(change(staging)).not.toBe(staging);
    expect(() => parseSigningConfig(change(staging))).toThrow(Malformed);
  });
});
