/**
 * TC-R3, TC-R4 and TC-R5 of reliability.md: for every kind and every JSON path of a good proposal, the member deleted, null, empty,
 * of another type or nested. Each is refused, nothing is logged, and the next good proposal works.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sha256 } from "../../../core/crypto/hash.ts";
import { encodeBase64, encodeUtf8 } from "../../../core/formats/encoding.ts";
import { formatPem } from "../../../core/formats/pem.ts";
import { Failure } from "../../../events/failure.ts";
import { createEntry, createEntryV2 } from "../../../events/rekor.ts";
import plugin from "../../../plugins/rekor/plugin.ts";
import { bootForTest, type TestInstallation } from "../../support/boot.ts";
import { fakeLog } from "./fake-log.ts";
import { casesOf } from "./matrix.ts";
import {
  bytesOf,
  dsse,
  envelope,
  hashedRekord,
  intoto1,
  intoto2,
  rekord,
  signer,
} from "./proposals.ts";
import { rekordOf, vector } from "./signed-files.ts";

const log = fakeLog("7");
const alice = signer("P-256");
const artifact = encodeUtf8("artifact");
const record = hashedRekord(alice, artifact);
const enveloped = envelope([alice], "application/vnd.in-toto+json", artifact);
const attestation = dsse(enveloped, [alice]);
const intoto = [intoto1(enveloped, alice), intoto2(enveloped, [alice])] as const;
const rekords = [
  rekord(alice, artifact),
  rekordOf("ssh", vector("sshsig/ecdsa256.sig"), vector("sshsig/ecdsa256.pub")),
  rekordOf("minisign", vector("minisign/prehashed.minisig"), vector("minisign/minisign.pub")),
];
const verifierV2 = {
  publicKey: {
    rawBytes: alice.pem.replaceAll(/-----[^-]+-----|\n/g, ""),
  },
  keyDetails: "PKIX_ECDSA_P256_SHA_256",
};
const recordV2 = {
  hashedRekordRequestV002: {
    digest: encodeBase64(sha256(artifact)),
    signature: { content: record.spec.signature.content, verifier: verifierV2 },
  },
};
const attestationV2 = { dsseRequestV002: { envelope: enveloped, verifiers: [verifierV2] } };
const refusals = [
  "malformed",
  "entry-unsupported",
  "signature-invalid",
  "key-malformed",
  "key-insecure",
];
let house: TestInstallation;

beforeAll(async () => {
  const config = { rekor: { treeId: "7", v2: { log: "rekor" } } };
  house = await bootForTest({ entries: [...log.plugins, plugin], config });
  for (const request of [recordV2, attestationV2]) {
    await house.ask(createEntryV2, { request: bytesOf(request) });
  }
  for (const proposed of [record, attestation, ...intoto, ...rekords]) {
    await house.ask(createEntry, { proposed: bytesOf(proposed) });
  }
});
afterAll(async () => {
  await house.dispose();
});

async function codeOfV2(request: Uint8Array): Promise<string> {
  return await house.ask(createEntryV2, { request }).then(
    () => "accepted",
    (thrown: unknown) => Failure.from(thrown).code,
  );
}

async function codeOf(proposed: Uint8Array): Promise<string> {
  return await house.ask(createEntry, { proposed }).then(
    () => "accepted",
    (thrown: unknown) => Failure.from(thrown).code,
  );
}

const matrix = [
  ...casesOf(record).map(({ name, value }) => ({ name: `hashedrekord ${name}`, value })),
  ...casesOf(attestation).map(({ name, value }) => ({ name: `dsse ${name}`, value })),
  ...intoto.flatMap((one) =>
    casesOf(one).map(({ name, value }) => ({ name: `intoto ${one.apiVersion} ${name}`, value })),
  ),
  ...rekords.flatMap((one) =>
    casesOf(one).map(({ name, value }) => ({
      name: `rekord ${one.spec.signature.format} ${name}`,
      value,
    })),
  ),
  ...casesOf(enveloped).flatMap(({ name, value }) => [
    { name: `envelope ${name}`, value: dsse(value, [alice]) },
    { name: `envelope of intoto ${name}`, value: intoto1(value, alice) },
  ]),
];

test(`refuses all of ${matrix.length} damaged proposals and logs none`, async () => {
  expect(matrix.length).toBeGreaterThan(500);
  const size = log.bodies.length;
  const accepted: string[] = [];
  for (const { name, value } of matrix) {
    const proposed = encodeUtf8(JSON.stringify(value) ?? "");
    const code = await codeOf(proposed);
    if (!refusals.includes(code)) accepted.push(`${name}: ${code}`);
  }
  expect(accepted).toEqual([]);
  expect(log.bodies).toHaveLength(size);
  expect(await codeOf(bytesOf(record))).toBe("accepted");
});

const matrixV2 = [
  ...casesOf(recordV2).map(({ name, value }) => ({ name: `v2 hashedrekord ${name}`, value })),
  ...casesOf(attestationV2).map(({ name, value }) => ({ name: `v2 dsse ${name}`, value })),
];

test(`refuses all of ${matrixV2.length} damaged requests of v2 and logs none`, async () => {
  expect(matrixV2.length).toBeGreaterThan(400);
  const size = log.bodies.length;
  const accepted: string[] = [];
  for (const { name, value } of matrixV2) {
    const code = await codeOfV2(encodeUtf8(JSON.stringify(value) ?? ""));
    if (!refusals.includes(code)) accepted.push(`${name}: ${code}`);
  }
  expect(accepted).toEqual([]);
  expect(log.bodies).toHaveLength(size);
  expect(await codeOfV2(bytesOf(recordV2))).toBe("accepted");
});

describe("a kind that is not taken is named before anything in it is decoded", () => {
  test.for(["alpine", "cose", "helm", "jar", "rfc3161", "rpm", "tuf", "HashedRekord", ""])(
    "%j",
    async (kind) => {
      const spec = { anything: "*".repeat(100_000) };
      const proposed = bytesOf({ kind, apiVersion: "0.0.1", spec });
      expect(await codeOf(proposed)).toBe("entry-unsupported");
    },
  );
});

describe("refuses", () => {
  const text = JSON.stringify(record);
  const key = (pem: string) => ({
    ...record,
    spec: {
      ...record.spec,
      signature: {
        ...record.spec.signature,
        publicKey: { content: encodeBase64(encodeUtf8(pem)) },
      },
    },
  });
  const deep = `${"[".repeat(65)}${"]".repeat(65)}`;

  test.for([
    ["no bytes", ""],
    ["null", "null"],
    ["an array", `[${text}]`],
    ["two values", `${text}${text}`],
    ["a byte order mark", `\ufeff${text}`],
    ["a duplicate member", `{"kind":"dsse",${text.slice(1)}`],
    ["a lone surrogate", text.replace("{", String.raw`{"x":"\ud800",`)],
    ["nesting beyond 64", text.replace("{", `{"x":${deep},`)],
    ["a url at the top", text.replace("{", '{"url":"http://169.254.169.254/",')],
    ["a url in an unknown member", text.replace("{", '{"x":[{"url":"http://a/"}],')],
    ["a url beside the digest", text.replace('"data":{', '"data":{"url":"http://a/",')],
    ["a url beside the key", text.replace('"publicKey":{', '"publicKey":{"url":"http://a/",')],
  ] as const)("%s", async ([, proposed]) => {
    expect(await codeOf(encodeUtf8(proposed))).toBe("malformed");
  });

  test("bytes that are not UTF-8", async () => {
    expect(await codeOf(Uint8Array.of(0x22, 0xc0, 0x80, 0x22))).toBe("malformed");
  });

  test.for([
    ["two keys", `${alice.pem}${alice.pem}`],
    ["a key after a comment of a megabyte", `${"#".repeat(1_000_000)}\n${alice.pem}`],
    ["a certificate that is none", formatPem("CERTIFICATE", Uint8Array.of(0x30, 0))],
    ["a key that is none", formatPem("PUBLIC KEY", Uint8Array.of(0x30, 0x80, 0, 0))],
    ["a key called a certificate", alice.pem.replaceAll("PUBLIC KEY", "CERTIFICATE")],
    ["a private key", alice.privateKey.export({ format: "pem", type: "pkcs8" }).toString()],
    ["a thousand certificates", formatPem("CERTIFICATE", artifact).repeat(1_000)],
  ] as const)("%s", async ([, pem]) => {
    expect(await codeOf(bytesOf(key(pem)))).toBe("key-malformed");
  });

  test("ten thousand signatures", async () => {
    const [signature] = enveloped.signatures;
    const signatures = Array.from({ length: 10_000 }, () => signature);
    expect(await codeOf(bytesOf(dsse({ ...enveloped, signatures }, [alice])))).toBe("malformed");
  });
});
