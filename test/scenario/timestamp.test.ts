/** The timestamp authority as strangers use it: openssl with RFC 3161, curl with JSON, and the npm client `sigstore`. */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chancery, type Instance, type Place, startInstance } from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";
import { installSigstoreClient, type SigstoreClient } from "../support/sigstore-client.ts";

interface Bundle {
  verificationMaterial: {
    timestampVerificationData: { rfc3161Timestamps: { signedTimestamp: string }[] };
  };
}

const email = "ada@example.com";
const artifact = new TextEncoder().encode("the analytical engine");

let client: SigstoreClient;
let place: Place & { readonly remove: () => Promise<void> };
let instance: Instance;
let folder: string;

beforeAll(async () => {
  [client, place] = await Promise.all([installSigstoreClient(), preparedPlace()]);
  instance = await startInstance(place);
  folder = await mkdtemp(join(tmpdir(), "chancery-timestamp-"));
  await writeFile(join(folder, "artifact"), artifact);
  await writeFile(join(folder, "other"), "another engine");
  const chain = await fetch(`${instance.origin}/api/v1/timestamp/certchain`);
  expect(chain.status).toBe(200);
  await writeFile(join(folder, "chain.pem"), await chain.text());
  await copyFile(join(instance.home, "trust/tsa-root.pem"), join(folder, "root.pem"));
});

afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  await client?.[Symbol.asyncDispose]();
  await place?.remove();
  await rm(folder, { recursive: true, force: true });
});

function openssl(...args: readonly string[]): { readonly ok: boolean; readonly said: string } {
  try {
    const said = execFileSync("openssl", [...args], {
      cwd: folder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    return { ok: true, said };
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    return { ok: false, said: `${stdout}${stderr}` };
  }
}

async function stamp(body: Uint8Array | string, type: string): Promise<Response> {
  return await fetch(`${instance.origin}/api/v1/timestamp`, {
    method: "POST",
    headers: { "content-type": type },
    body,
  });
}

const trust = ["-CAfile", "root.pem", "-untrusted", "chain.pem"];

describe("openssl", () => {
  test.for(["sha256", "sha384", "sha512"])("verifies a token over %s", async (hash) => {
    for (const cert of [[], ["-cert"]]) {
      openssl("ts", "-query", "-data", "artifact", `-${hash}`, ...cert, "-out", "query");
      const query = await readFile(join(folder, "query"));
      const reply = await stamp(query, "application/timestamp-query");
      expect(reply.status).toBe(200);
      expect(reply.headers.get("content-type")).toBe("application/timestamp-reply");
      await writeFile(join(folder, "reply"), await reply.bytes());
      // Against the query: nonce, policy and certificates as asked for.
      expect(openssl("ts", "-verify", "-in", "reply", "-queryfile", "query", ...trust)).toEqual({
        ok: true,
        said: expect.stringContaining("Verification: OK") as string,
      });
      expect(openssl("ts", "-verify", "-in", "reply", "-data", "artifact", ...trust).ok).toBe(true);
      expect(openssl("ts", "-verify", "-in", "reply", "-data", "other", ...trust).ok).toBe(false);
    }
  });

  test("verifies a token that was asked for in JSON", async () => {
    const artifactHash = createHash("sha256").update(artifact).digest("base64");
    const nonce = BigInt(`0x${randomBytes(15).toString("hex")}`);
    const asked = `{"artifactHash":"${artifactHash}","hashAlgorithm":"sha256","nonce":${nonce},"certificates":true}`;
    const reply = await stamp(asked, "application/json; charset=utf-8");
    expect(reply.status).toBe(200);
    await writeFile(join(folder, "reply"), await reply.bytes());
    expect(openssl("ts", "-verify", "-in", "reply", "-data", "artifact", ...trust).ok).toBe(true);
    const { said } = openssl("ts", "-reply", "-in", "reply", "-text");
    expect(said.toLowerCase()).toContain(nonce.toString(16));
    expect(said).toContain("Policy OID: 1.3.6.1.4.1.57264.2");
    expect(said).toContain("Accuracy: 0x01 seconds");
  });

  test("reads why a query is not granted", async () => {
    openssl(
      "ts",
      "-query",
      "-data",
      "artifact",
      "-sha256",
      "-tspolicy",
      "1.2.3.4",
      "-out",
      "query",
    );
    const query = await readFile(join(folder, "query"));
    const reply = await stamp(query, "application/timestamp-query");
    expect(reply.status).toBe(400);
    await writeFile(join(folder, "reply"), await reply.bytes());
    const { said } = openssl("ts", "-reply", "-in", "reply", "-text");
    expect(said).toContain("Status: Rejected.");
    expect(said).toMatch(/policy is not supported/);
  });
});

describe("the npm client", () => {
  test("signs with a timestamp and verifies it over our TUF repository", async () => {
    const bundle = (await client.run({
      action: "sign",
      data: artifact,
      options: {
        fulcioURL: instance.origin,
        rekorURL: instance.origin,
        tsaServerURL: instance.origin,
        identityToken: await token(),
      },
    })) as Bundle;
    expect(bundle.verificationMaterial.timestampVerificationData.rfc3161Timestamps).toHaveLength(1);
    const options = { ...(await trusted()), timestampThreshold: 1 };
    const verified = await client.run({ action: "verify", bundle, data: artifact, options });
    expect(verified).toMatchObject({ subjectAlternativeName: email });
    expect(await ours(bundle)).toMatchObject({ code: 0 });
    // A timestamp of something else.
    const spoilt = structuredClone(bundle);
    const [entry] = spoilt.verificationMaterial.timestampVerificationData.rfc3161Timestamps;
    const other = await stamp(
      JSON.stringify({
        artifactHash: createHash("sha256").update("other").digest("base64"),
        hashAlgorithm: "sha256",
      }),
      "application/json",
    );
    if (entry) entry.signedTimestamp = (await other.bytes()).toBase64();
    await expect(
      client.run({ action: "verify", bundle: spoilt, data: artifact, options }),
    ).rejects.toThrow();
    expect(await ours(spoilt)).toMatchObject({ code: 1 });
  });

  test("verifies what our own CLI signed with a timestamp", async () => {
    const out = join(folder, "ours.json");
    const args = ["sign", join(folder, "artifact"), "--demo-email", email, "--bundle", out];
    expect(await chancery(instance.home, ...args)).toMatchObject({ code: 0 });
    const bundle = JSON.parse(await readFile(out, "utf8")) as Bundle;
    expect(bundle.verificationMaterial.timestampVerificationData.rfc3161Timestamps).toHaveLength(1);
    const options = { ...(await trusted()), timestampThreshold: 1 };
    expect(await client.run({ action: "verify", bundle, data: artifact, options })).toMatchObject({
      subjectAlternativeName: email,
    });
  });
});

async function ours(bundle: unknown) {
  const path = join(folder, "bundle.json");
  await writeFile(path, JSON.stringify(bundle));
  return await chancery(
    instance.home,
    "verify",
    join(folder, "artifact"),
    `--bundle=${path}`,
    `--certificate-identity=${email}`,
    `--certificate-oidc-issuer=${instance.origin}/oidc`,
  );
}

async function token(): Promise<string> {
  const said = await chancery(instance.home, "token", "--email", email);
  expect(said).toMatchObject({ code: 0 });
  return said.stdout.trim();
}

async function trusted(): Promise<object> {
  const root = join(client.folder, "root.json");
  await copyFile(join(instance.home, "trust", "1.root.json"), root);
  const cache = join(client.folder, "cache", "one");
  await mkdir(cache, { recursive: true });
  return {
    tufMirrorURL: `${instance.origin}/tuf`,
    tufRootPath: root,
    tufCachePath: cache,
    certificateIdentityEmail: email,
    certificateIssuer: `${instance.origin}/oidc`,
  };
}
