/** Where keys and secrets are, as other people's tools see it. */
import { X509Certificate } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { chancery, type Place, run } from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";

const module = "/usr/lib/softhsm/libsofthsm2.so";
let place: Place & { readonly remove: () => Promise<void> };

beforeAll(async () => {
  place = await preparedPlace();
});

afterAll(async () => await place?.remove());

test("openssl verifies the certificate chain", async () => {
  const root = join(place.home, "trust", "root-ca.pem");
  const issuing = join(place.home, "trust", "issuing-ca.pem");
  const verified = await run("openssl", ["verify", "-x509_strict", "-CAfile", root, issuing]);
  expect(verified).toMatchObject({ code: 0, stdout: `${issuing}: OK\n` });

  const [rootCa, issuingCa] = [
    new X509Certificate(await readFile(root)),
    new X509Certificate(await readFile(issuing)),
  ];
  expect(rootCa.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: "secp384r1" });
  expect(issuingCa.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" });
  const text = await run("openssl", ["x509", "-in", issuing, "-noout", "-text"]);
  expect(text.stdout).toMatch(/X509v3 Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
  expect(text.stdout).toMatch(/X509v3 Extended Key Usage:\s*(critical)?\s+Code Signing/);
});

test("pkcs11-tool shows every private key sensitive and never extractable", async () => {
  let keys = 0;
  for (const [token, pinFile] of [
    ["online", "pin"],
    ["offline", "offline-pin"],
  ] as const) {
    const pin = (await readFile(join(place.home, "secrets", pinFile), "utf8")).trim();
    const environment = {
      ...process.env,
      SOFTHSM2_CONF: join(place.home, `softhsm2-${token}.conf`),
    };
    const listed = await run(
      "pkcs11-tool",
      ["--module", module, "--login", "--pin", pin, "--list-objects", "--type", "privkey"],
      environment,
    );
    expect(listed).toMatchObject({ code: 0 });
    const accesses = listed.stdout.match(/Access: .*/g) ?? [];
    keys += accesses.length;
    expect(accesses.length).toBeGreaterThan(0);
    for (const access of accesses) {
      expect(access).toContain("sensitive");
      expect(access).toContain("never extractable");
    }
  }
  expect(keys).toBe(13);
});

/** architecture.md §7: a home's secrets are exactly these. */
const secretFiles = [
  /^secrets\/(pin|offline-pin|admin)$/,
  /^secrets\/nkeys\/[a-z]+\.nk$/,
  /^secrets\/pairs\/[a-z]+--[a-z]+\.key$/,
  /^secrets\/tls\/key\.pem$/,
  /^tokens\/(online|offline)\//,
];

test("the secret files are exactly those of the design, each for its owner alone", async () => {
  const files = await walk(place.home);
  const kept = files.filter((file) => /^(secrets|tokens)\//.test(file));
  expect(kept.length).toBeGreaterThan(20);
  for (const file of kept) {
    expect(
      secretFiles.some((pattern) => pattern.test(file)),
      file,
    ).toBe(true);
    expect((await stat(join(place.home, file))).mode & 0o777, file).toBe(0o600);
  }
});

test("no secret stands in any other file", async () => {
  const files = await walk(place.home);
  const names = files.filter((file) => file.startsWith("secrets/") && !file.endsWith(".pem"));
  const secrets = await Promise.all(
    names.map(async (name) => (await readFile(join(place.home, name), "utf8")).trim()),
  );
  expect(secrets.every((secret) => secret.length >= 8)).toBe(true);
  for (const file of files.filter((name) => !/^(secrets|tokens)\//.test(name))) {
    const content = await readFile(join(place.home, file), "latin1");
    expect(content, file).not.toMatch(/PRIVATE KEY/);
    expect(
      secrets.find((secret) => content.includes(secret)),
      file,
    ).toBeUndefined();
  }
});

test("the token command needs a running instance, says so, and prints nothing else", async () => {
  const refused = await chancery(place.home, "token", "--email", "ada@example.com");
  expect(refused).toMatchObject({ code: 3, stdout: "" });
  expect(refused.stderr).toContain("npm start");
});

async function walk(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}
