/** An unmodified client that none of us wrote signs and verifies against a fresh instance. */
import { copyFile, mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chancery, type Instance, type Place, startInstance } from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";
import { installSigstoreClient, type SigstoreClient } from "../support/sigstore-client.ts";

/** The parts of a bundle that these tests change. */
interface Bundle {
  verificationMaterial: { tlogEntries: object[] };
}

const email = "ada@example.com";
const artifact = new TextEncoder().encode("the analytical engine");
const statement = new TextEncoder().encode(
  JSON.stringify({
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name: "engine", digest: { sha256: "0".repeat(64) } }],
    predicateType: "https://example.com/predicate/v1",
    predicate: { built: true },
  }),
);
const payloadType = "application/vnd.in-toto+json";

let client: SigstoreClient;
let place: Place & { readonly remove: () => Promise<void> };
let instance: Instance;
let signed: Bundle;
let attested: Bundle;

beforeAll(async () => {
  [client, place] = await Promise.all([installSigstoreClient(), preparedPlace()]);
  instance = await startInstance(place);
  const options = { fulcioURL: instance.origin, rekorURL: instance.origin };
  signed = (await client.run({
    action: "sign",
    data: artifact,
    options: { ...options, identityToken: await token() },
  })) as Bundle;
  attested = (await client.run({
    action: "attest",
    data: statement,
    payloadType,
    options: { ...options, identityToken: await token() },
  })) as Bundle;
});

afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  await client?.[Symbol.asyncDispose]();
  await place?.remove();
});

test("verifies what it signed, with nothing but the mirror and our initial root", async () => {
  const verified = await client.run({
    action: "verify",
    bundle: signed,
    data: artifact,
    options: await trust(),
  });
  expect(verified).toMatchObject({
    subjectAlternativeName: email,
    extensions: { issuer: `${instance.origin}/oidc` },
  });
});

test("verifies what it attested", async () => {
  const verified = await client.run({ action: "verify", bundle: attested, options: await trust() });
  expect(verified).toMatchObject({ subjectAlternativeName: email });
});

test("is verified by our own CLI too", async () => {
  const folder = await mkdtemp(join(client.folder, "cli-"));
  await writeFile(join(folder, "artifact"), artifact);
  await writeFile(join(folder, "bundle.json"), JSON.stringify(signed));
  const verified = await chancery(
    instance.home,
    "verify",
    join(folder, "artifact"),
    `--bundle=${join(folder, "bundle.json")}`,
    `--certificate-identity=${email}`,
    `--certificate-oidc-issuer=${instance.origin}/oidc`,
  );
  expect(verified).toMatchObject({ code: 0 });
  expect(verified.stdout).toContain("Verified OK");
});

test("an entry that is sent again is answered as a duplicate and gives no second leaf", async () => {
  const before = await treeSize();
  const entry = JSON.parse(
    Buffer.from(
      (signed.verificationMaterial.tlogEntries[0] as { canonicalizedBody: string })
        .canonicalizedBody,
      "base64",
    ).toString(),
  ) as object;
  const response = await fetch(`${instance.origin}/api/v1/log/entries`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(entry),
  });
  expect(response.status).toBe(409);
  expect(response.headers.get("location")).toMatch(/^\/api\/v1\/log\/entries\/[0-9a-f]{80}$/);
  expect(await treeSize()).toBe(before);
});

describe("is refused", () => {
  test("a flipped byte of the artifact", async () => {
    const flipped = artifact.map((byte, index) => (index === 3 ? byte ^ 1 : byte));
    await expect(
      client.run({ action: "verify", bundle: signed, data: flipped, options: await trust() }),
    ).rejects.toThrow();
  });

  test("another identity", async () => {
    const options = { ...(await trust()), certificateIdentityEmail: "mallory@example.com" };
    await expect(
      client.run({ action: "verify", bundle: signed, data: artifact, options }),
    ).rejects.toThrow(/identity|UNTRUSTED/i);
  });

  test("another OIDC issuer", async () => {
    const options = { ...(await trust()), certificateIssuer: "https://accounts.example.com" };
    await expect(
      client.run({ action: "verify", bundle: signed, data: artifact, options }),
    ).rejects.toThrow();
  });

  test("a removed log entry", async () => {
    const bundle = structuredClone(signed);
    bundle.verificationMaterial.tlogEntries = [];
    await expect(
      client.run({ action: "verify", bundle, data: artifact, options: await trust() }),
    ).rejects.toThrow();
  });

  test("a log entry of another bundle", async () => {
    const bundle = structuredClone(attested);
    bundle.verificationMaterial.tlogEntries = signed.verificationMaterial.tlogEntries;
    await expect(
      client.run({ action: "verify", bundle, options: await trust() }),
    ).rejects.toThrow();
  });

  test("another instance's root", async () => {
    const elsewhere = await preparedPlace();
    await using other = await startInstance(elsewhere);
    const foreign = { ...(await trust()), ...(await trust(other)) };
    await expect(
      client.run({ action: "verify", bundle: signed, data: artifact, options: foreign }),
    ).rejects.toThrow();
    const crossed = { ...(await trust(other, "crossed")), tufMirrorURL: `${instance.origin}/tuf` };
    await expect(
      client.run({ action: "verify", bundle: signed, data: artifact, options: crossed }),
    ).rejects.toThrow();
    await other.stop();
    await elsewhere.remove();
  });
});

async function token(): Promise<string> {
  const said = await chancery(instance.home, "token", "--email", email);
  expect(said).toMatchObject({ code: 0 });
  return said.stdout.trim();
}

/** What a stranger is told: the mirror, the initial root, and who should have signed. */
async function trust(of = instance, name = "one"): Promise<object> {
  const root = join(client.folder, `root-${of.port}-${name}.json`);
  await copyFile(join(of.home, "trust", "1.root.json"), root);
  const cache = join(client.folder, "cache", `${of.port}-${name}`);
  await mkdir(cache, { recursive: true });
  return {
    tufMirrorURL: `${of.origin}/tuf`,
    tufRootPath: root,
    tufCachePath: cache,
    certificateIdentityEmail: email,
    certificateIssuer: `${instance.origin}/oidc`,
  };
}

async function treeSize(): Promise<number> {
  const response = await fetch(`${instance.origin}/api/v1/log`);
  return ((await response.json()) as { treeSize: number }).treeSize;
}
