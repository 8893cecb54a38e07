/**
 * Certificates byte for byte (interop.md 1.7, 1.8; fulcio docs/oid-info.md, docs/certificate-specification.md): what is expected is
 * put together here from octets written out by hand, with no encoder of ours.
 */
import { describe, expect, test } from "vitest";
import { decodeHex, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { fulcioExtensions } from "../../core/formats/fulcio-oids.ts";
import { formatLeafTbs } from "../../core/formats/leaf-profile.ts";
import { subjectAltName } from "../../core/formats/x509.ts";

/** TLV of hex: short lengths, and long ones of one or two octets. */
function tlv(tag: string, ...contents: readonly string[]): string {
  const content = contents.join("");
  const length = content.length / 2;
  const hex = length.toString(16).padStart(2, "0");
  const octets =
    length < 128 ? hex : length < 256 ? `81${hex}` : `82${length.toString(16).padStart(4, "0")}`;
  return `${tag}${octets}${content}`;
}
const utf8 = (text: string): string => encodeHex(encodeUtf8(text));
const raw = (text: string): string => utf8(text);
const utf8String = (text: string): string => tlv("0c", utf8(text));
/** 1.3.6.1.4.1.57264.1.N */
const arc = (n: number): string => `060a2b0601040183bf3001${n.toString(16).padStart(2, "0")}`;
const extension = (oid: string, value: string): string => tlv("30", oid, tlv("04", value));
const formatted = ({ oid, critical, value }: ReturnType<typeof fulcioExtensions>[number]) => ({
  n: Number(oid.split(".").at(-1)),
  oid,
  critical,
  value: encodeHex(value),
});

/** Every extension and how it is encoded: bare UTF-8 up to .6, a UTF8String from .8 on. .7 is none, but the type of an otherName. */
const table: readonly [number, string, (text: string) => string][] = [
  [1, "Issuer", raw],
  [2, "GitHubWorkflowTrigger", raw],
  [3, "GitHubWorkflowSHA", raw],
  [4, "GitHubWorkflowName", raw],
  [5, "GitHubWorkflowRepository", raw],
  [6, "GitHubWorkflowRef", raw],
  [8, "IssuerV2", utf8String],
  [9, "BuildSignerURI", utf8String],
  [10, "BuildSignerDigest", utf8String],
  [11, "RunnerEnvironment", utf8String],
  [12, "SourceRepositoryURI", utf8String],
  [13, "SourceRepositoryDigest", utf8String],
  [14, "SourceRepositoryRef", utf8String],
  [15, "SourceRepositoryIdentifier", utf8String],
  [16, "SourceRepositoryOwnerURI", utf8String],
  [17, "SourceRepositoryOwnerIdentifier", utf8String],
  [18, "BuildConfigURI", utf8String],
  [19, "BuildConfigDigest", utf8String],
  [20, "BuildTrigger", utf8String],
  [21, "RunInvocationURI", utf8String],
  [22, "SourceRepositoryVisibilityAtSigning", utf8String],
  [23, "DeploymentEnvironment", utf8String],
  [24, "TokenSubject", utf8String],
];
const free = table.map(([n]) => n).filter((n) => ![1, 8, 24].includes(n));
const claims = (value: (n: number) => string) => ({
  oidcIssuer: "https://idp.example/é",
  subject: "repo:o/r:ref",
  extensions: free.map((n) => ({ arc: n, value: value(n) })),
});

describe.each([
  ["a plain value", "push"],
  ["TC-F7: markup and quotes, byte-exact", `a&b<c>"d'e`],
  ["UTF-8 of every length", "aé€😀"],
  ["a value of 128 octets", "x".repeat(128)],
  ["a value of 300 octets", "x".repeat(300)],
])("%s", (_name, text) => {
  test.for(table)(".%i %s", ([n, , encode]) => {
    const all = fulcioExtensions({ ...claims(() => text), oidcIssuer: text, subject: text });
    const found = all.map(formatted).find((one) => one.n === n);
    expect(found).toEqual({
      n,
      oid: `1.3.6.1.4.1.57264.1.${n}`,
      critical: false,
      value: encode(text),
    });
  });
});

test.for([
  ["email", "user@example.com", tlv("30", tlv("81", utf8("user@example.com")))],
  [
    "uri",
    "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main",
    tlv("30", tlv("86", utf8("https://github.com/o/r/.github/workflows/w.yml@refs/heads/main"))),
  ],
  [
    "otherName",
    "user!corp.example",
    tlv("30", tlv("a0", arc(7), tlv("a0", utf8String("user!corp.example")))),
  ],
] as const)("a subject alternative name of kind %s", ([kind, value, hex]) => {
  expect(encodeHex(subjectAltName({ kind, value }))).toBe(hex);
});

/** The base point of P-256 as a key (SEC 2 §2.4.2), and SHA-1 of its octets as `sha1sum` gives it. */
const point =
  "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
const spki = `3059301306072a8648ce3d020106082a8648ce3d030107034200${point}`;
const pointSha1 = "b467a3999eb5efa671de0032f08a9c9e5efda0e1";

test.for([
  ["ecdsa-sha256", "300a06082a8648ce3d040302"],
  ["ecdsa-sha384", "300a06082a8648ce3d040303"],
  ["rsa-sha256", "300d06092a864886f70d01010b0500"],
] as const)("a whole TBSCertificate with every extension, signed %s", ([algorithm, identifier]) => {
  const values = claims((n) => `value ${n}`);
  const issuerName = tlv("30", tlv("31", tlv("30", "0603550403", utf8String("issuing"))));
  const list = "0003aabbcc";
  const hash = encodeHex(new Uint8Array(20).fill(0x5a));
  const textOf = (n: number): string =>
    n === 24 ? values.subject : n === 1 || n === 8 ? values.oidcIssuer : `value ${n}`;
  const head = [
    "a003020102",
    tlv("02", "41".repeat(20)),
    identifier,
    issuerName,
    tlv("30", tlv("17", utf8("261121120000Z")), tlv("17", utf8("261121121000Z"))),
    "3000",
    spki,
  ];
  const common = [
    "300e0603551d0f0101ff040403020780",
    "30130603551d25040c300a06082b06010505070303",
    extension("0603551d0e", tlv("04", pointSha1)),
    extension("0603551d23", tlv("30", tlv("80", hash))),
    tlv("30", "0603551d11", "0101ff", tlv("04", tlv("30", tlv("81", utf8("user@example.com"))))),
    ...table.map(([n, , encode]) => extension(arc(n), encode(textOf(n)))),
  ];
  const poison = tlv("30", "060a2b06010401d679020403", "0101ff", "04020500");
  const scts = extension("060a2b06010401d679020402", tlv("04", list));
  const fields = {
    serial: decodeHex("41".repeat(20)),
    issuerName: decodeHex(issuerName),
    authorityKeyId: decodeHex(hash),
    signatureAlgorithm: algorithm,
    notBefore: new Date("2026-11-21T12:00:00Z"),
    notAfter: new Date("2026-11-21T12:10:00Z"),
    publicKey: decodeHex(spki),
    san: { kind: "email", value: "user@example.com" },
    fulcio: fulcioExtensions(values),
  } as const;
  const tbs = (last: readonly string[]): string =>
    tlv("30", ...head, tlv("a3", tlv("30", ...common, ...last)));
  expect(encodeHex(formatLeafTbs(fields, { kind: "poison" }))).toBe(tbs([poison]));
  const final = formatLeafTbs(fields, { kind: "sctList", list: decodeHex(list) });
  expect(encodeHex(final)).toBe(tbs([scts]));
  expect(encodeHex(formatLeafTbs(fields, { kind: "none" }))).toBe(tbs([]));
});
