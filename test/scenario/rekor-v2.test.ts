/** Rekor v2 as the npm client uses it, given only the signing configuration that TUF serves; and as a monitor reads it, by tiles. */
import { createHash } from "node:crypto";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { equalBytes } from "../../core/formats/encoding.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { chancery, type Instance, type Place, startInstance } from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";
import { installSigstoreClient, type SigstoreClient } from "../support/sigstore-client.ts";

interface Entry {
  logIndex: string;
  kindVersion: { kind: string; version: string };
  canonicalizedBody: string;
  inclusionPromise?: unknown;
  inclusionProof: { checkpoint: { envelope: string } };
}
interface Bundle {
  verificationMaterial: { tlogEntries: Entry[]; timestampVerificationData?: unknown };
}

const email = "ada@example.com";
const artifact = new TextEncoder().encode("the analytical engine");
const statement = new TextEncoder().encode(
  JSON.stringify({
    _type: "https://in-toto.io/Statement/v1",
    subject: [
      {
        name: "engine",
        digest: { sha256: createHash("sha256").update(artifact).digest("hex") },
      },
    ],
    predicateType: "https://example.com/predicate/v1",
    predicate: { built: true },
  }),
);
const payloadType = "application/vnd.in-toto+json";
const target = "signing_config_rekor_v2.v0.2.json";

let client: SigstoreClient;
let place: Place & { readonly remove: () => Promise<void> };
let instance: Instance;
let signingConfig: { rekorTlogUrls: { majorApiVersion: number }[] };

beforeAll(async () => {
  [client, place] = await Promise.all([installSigstoreClient(), preparedPlace()]);
  instance = await startInstance(place);
  signingConfig = await targetOf(target);
});

afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  await client?.[Symbol.asyncDispose]();
  await place?.remove();
});

test("TUF serves a signing configuration that prefers v2", () => {
  expect(signingConfig.rekorTlogUrls.map(({ majorApiVersion }) => majorApiVersion)).toEqual([2, 1]);
});

test.for([
  ["a signature", artifact, undefined],
  ["an attestation", statement, payloadType],
] as const)(
  "the npm client logs %s in v2 and verifies it; so does our CLI",
  async ([, data, type]) => {
    const bundle = (await client.run({
      action: "build",
      data,
      signingConfig,
      identityToken: await token(),
      ...(type !== undefined && { payloadType: type }),
    })) as Bundle;
    const [entry] = bundle.verificationMaterial.tlogEntries;
    expect(entry?.kindVersion).toEqual({ kind: "hashedrekord", version: "0.0.2" });
    expect(entry?.inclusionPromise ?? null).toBeNull();
    const options = { ...(await trusted()), timestampThreshold: 1 };
    const signer = await client.run({
      action: "verify",
      bundle,
      ...(type === undefined && { data: artifact }),
      options,
    });
    expect(signer).toMatchObject({ subjectAlternativeName: email });
    expect(await ours(bundle)).toMatchObject({ code: 0 });

    // Without a timestamp nothing says when it was signed.
    const timeless = structuredClone(bundle);
    delete timeless.verificationMaterial.timestampVerificationData;
    expect(await ours(timeless)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("time of signing is unproven") as string,
    });
    // Another body than the bundle's.
    const foreign = structuredClone(bundle);
    for (const one of foreign.verificationMaterial.tlogEntries) {
      const body = Buffer.from(one.canonicalizedBody, "base64").toString();
      one.canonicalizedBody = Buffer.from(body.replace("SHA2_256", "SHA2_512")).toString("base64");
    }
    expect(await ours(foreign)).toMatchObject({ code: 1 });
  },
);

test("an entry that is sent again is the same entry, with 201", async () => {
  const bundle = (await client.run({
    action: "build",
    data: artifact,
    signingConfig,
    identityToken: await token(),
  })) as Bundle;
  const [entry] = bundle.verificationMaterial.tlogEntries;
  const { spec } = JSON.parse(Buffer.from(entry?.canonicalizedBody ?? "", "base64").toString()) as {
    spec: { hashedRekordV002: { data: { digest: string }; signature: object } };
  };
  const { data, signature } = spec.hashedRekordV002;
  const again = await post({
    hashed_rekord_request_v002: { digest: data.digest, signature },
  });
  expect(again.status).toBe(201);
  const answered = (await again.json()) as Entry & { integratedTime: string };
  expect(answered.logIndex).toBe(entry?.logIndex);
  expect(answered.canonicalizedBody).toBe(entry?.canonicalizedBody);
  expect(answered).toMatchObject({ integratedTime: "0", inclusionPromise: null });
});

test("checkpoint, tiles and entries are readable at every spelling", async () => {
  const bases = ["", "/api/v2", "/logs/rekor-v2"].map((base) => `${instance.origin}${base}`);
  const checkpoints = await Promise.all(
    bases.map(async (base) => await (await fetch(`${base}/checkpoint`)).text()),
  );
  expect(new Set(checkpoints).size).toBe(1);
  const [origin, size = ""] = checkpoints[0]?.split("\n") ?? [];
  expect(origin).toBe("localhost");
  const width = Number(size);
  for (const base of bases) {
    const level = await (await fetch(`${base}/tile/0/000.p/${width}`)).bytes();
    const entries = await (await fetch(`${base}/tile/entries/000.p/${width}`)).bytes();
    const length = ((entries[0] ?? 0) << 8) | (entries[1] ?? 0);
    expect(equalBytes(leafHash(entries.subarray(2, 2 + length)), level.subarray(0, 32))).toBe(true);
  }
});

test.for<[string, unknown, string]>([
  ["an empty request", {}, "invalid hashedrekord request"],
  ["an unknown member", { hashedRekordRequestV002: {}, more: 1 }, "invalid hashedrekord request"],
])("refuses %s", async ([, request, message]) => {
  const refused = await post(request);
  expect(refused.status).toBe(400);
  expect(await refused.json()).toMatchObject({ code: 3, message });
});

async function post(request: unknown): Promise<Response> {
  return await fetch(`${instance.origin}/api/v2/log/entries`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
  });
}

/** A TUF target, found as a client finds it. */
async function targetOf(name: string): Promise<typeof signingConfig> {
  const targets = (await (await fetch(`${instance.origin}/tuf/1.targets.json`)).json()) as {
    signed: { targets: { [name: string]: { hashes: { sha256: string } } } };
  };
  const sha256 = targets.signed.targets[name]?.hashes.sha256 ?? "";
  const found = await fetch(`${instance.origin}/tuf/targets/${sha256}.${name}`);
  return (await found.json()) as typeof signingConfig;
}

async function ours(bundle: unknown) {
  const [file, path] = [join(client.folder, "artifact"), join(client.folder, "bundle.json")];
  await writeFile(file, artifact);
  await writeFile(path, JSON.stringify(bundle));
  return await chancery(
    instance.home,
    "verify",
    file,
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
