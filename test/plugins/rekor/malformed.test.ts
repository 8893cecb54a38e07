/**
 * TC-R3, TC-R4 and TC-R5 of reliability.md: for every kind and every JSON path of a good proposal, the member deleted, null, empty,
 * of another type or nested. Each is refused, nothing is logged, and the next good proposal works.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeBase64, encodeUtf8 } from "../../../core/formats/encoding.ts";
import { formatPem } from "../../../core/formats/pem.ts";
import { Failure } from "../../../events/failure.ts";
import { createEntry } from "../../../events/rekor.ts";
import plugin from "../../../plugins/rekor/plugin.ts";
import { bootForTest, type TestInstallation } from "../../support/boot.ts";
import { fakeLog } from "./fake-log.ts";
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

type Path = readonly (string | number)[];

const log = fakeLog("7");
const alice = signer("P-256");
const artifact = encodeUtf8("artifact");
const record = hashedRekord(alice, artifact);
const enveloped = envelope([alice], "application/vnd.in-toto+json", artifact);
const attestation = dsse(enveloped, [alice]);
const intoto = [intoto1(enveloped, alice), intoto2(enveloped, [alice])] as const;
const plainRekord = rekord(alice, artifact);
const refusals = [
  "malformed",
  "entry-unsupported",
  "signature-invalid",
  "key-malformed",
  "key-insecure",
];
let house: TestInstallation;

beforeAll(async () => {
  const config = { rekor: { treeId: "7" } };
  house = await bootForTest({ entries: [...log.plugins, plugin], config });
  for (const proposed of [record, attestation, ...intoto, plainRekord]) {
    await house.ask(createEntry, { proposed: bytesOf(proposed) });
  }
});
afterAll(async () => {
  await house.dispose();
});

async function codeOf(proposed: Uint8Array): Promise<string> {
  return await house.ask(createEntry, { proposed }).then(
    () => "accepted",
    (thrown: unknown) => Failure.from(thrown).code,
  );
}

/** What is put in a member's place, given what was there; undefined deletes it. */
const replacements: readonly ((value: unknown) => unknown)[] = [
  () => undefined,
  () => null,
  () => "",
  () => "x",
  () => "\u0000",
  () => "A".repeat(100_000),
  () => 0,
  () => -1,
  () => 1.5,
  () => 1e308,
  () => true,
  () => false,
  () => [],
  () => ({}),
  () => [null],
  () => ({ length: 1, 0: "x" }),
  (value) => [value],
  (value) => ({ value }),
  (value) => ({ toString: value }),
  (value) => Array.from({ length: 60 }).reduce((inner: unknown) => [inner], value),
  (value) => (typeof value === "string" ? `${value}=` : [[value]]),
  (value) => (typeof value === "string" ? `\u0001${value}` : { value: null }),
];

function* pathsOf(value: unknown, at: Path = []): Generator<Path> {
  yield at;
  if (value === null || typeof value !== "object") return;
  for (const [name, member] of Object.entries(value)) {
    yield* pathsOf(member, [...at, Array.isArray(value) ? Number(name) : name]);
  }
}

function replace(value: unknown, [first, ...rest]: Path, by: (old: unknown) => unknown): unknown {
  if (first === undefined) return by(value);
  if (Array.isArray(value)) {
    return value
      .map((item, at) => (at === first ? replace(item, rest, by) : (item as unknown)))
      .filter((item) => item !== undefined);
  }
  // Only called with paths that pathsOf has found in this value.
  const members = value as { readonly [name: string]: unknown };
  return { ...members, [first]: replace(members[first], rest, by) };
}

function casesOf(value: unknown): { readonly name: string; readonly value: unknown }[] {
  return [...pathsOf(value)].flatMap((path) =>
    replacements.map((by, at) => ({
      name: `${path.join(".") || "(root)"} #${at}`,
      value: replace(value, path, by),
    })),
  );
}

const matrix = [
  ...casesOf(record).map(({ name, value }) => ({ name: `hashedrekord ${name}`, value })),
  ...casesOf(attestation).map(({ name, value }) => ({ name: `dsse ${name}`, value })),
  ...intoto.flatMap((one) =>
    casesOf(one).map(({ name, value }) => ({ name: `intoto ${one.apiVersion} ${name}`, value })),
  ),
  ...casesOf(plainRekord).map(({ name, value }) => ({ name: `rekord ${name}`, value })),
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
