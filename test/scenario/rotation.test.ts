/**
 * Operations on a live instance as a stranger's client sees them: the issuing CA is rotated under a stream of signings with every
 * process killed on the way, a log is frozen and gets a successor, and whatever was signed before goes on being verified.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  chancery,
  freshPlace,
  type Instance,
  type Place,
  startInstance,
} from "../support/instance.ts";
import { expectReady } from "../support/kill-stream.ts";
import { expectKept } from "../support/oracle.ts";
import { type Acknowledged, demoToken, signOnce } from "../support/signer.ts";
import { installSigstoreClient, type SigstoreClient } from "../support/sigstore-client.ts";

interface Bundle {
  verificationMaterial: {
    certificate?: { rawBytes: string };
    x509CertificateChain?: { certificates: { rawBytes: string }[] };
    tlogEntries: { logIndex: string; canonicalizedBody: string; logId: { keyId: string } }[];
  };
}

const email = "ada@example.com";
const artifact = new TextEncoder().encode("the analytical engine");
const cli = new URL("../../chancery", import.meta.url).pathname;
const v2Target = "signing_config_rekor_v2.v0.2.json";

let client: SigstoreClient;
let place: Place & { readonly remove: () => Promise<void> };
let instance: Instance;
const bundles: { readonly when: string; readonly bundle: Bundle }[] = [];

beforeAll(async () => {
  [client, place] = await Promise.all([installSigstoreClient(), freshPlace()]);
  instance = await startInstance(place);
});

afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  await client?.[Symbol.asyncDispose]();
  await place?.remove();
});

test(
  "the issuing CA is rotated under load, whoever is killed on the way",
  { timeout: 240_000 },
  async () => {
    expect(await signAndVerify("before the rotation")).toContain("issuing CA");
    const stream = signingStream();
    // A line of the operation's progress, and who is killed when it appears.
    const kills: readonly (readonly [string, string])[] = [
      ["generate issuing-ca-2", "vault"],
      ["certify issuing-ca-2", "operate"],
      ["give issuing-ca-2", "vault"],
      ["publish trust", "services"],
      ["publish trust", "operate"],
      ["end the term", "services"],
    ];
    for (const [line, victim] of kills) {
      await rotate(line, async (operate) => {
        process.kill(victim === "operate" ? operate : await instance.pid(victim), "SIGKILL");
      });
      await expectReady(instance.origin, 30_000);
    }
    let during: Promise<string> | null = null;
    const code = await rotate("put issuing-ca-2", async () => {
      during ??= signAndVerify("during the rotation");
      await Promise.resolve();
    });
    expect(code).toBe(0);
    await during;
    expect(await signAndVerify("after the rotation")).toContain("issuing-ca-2");
    await sleep(500);
    const acknowledged = await stream.end();
    const issuers = new Set(acknowledged.map(issuerOf));
    expect(issuers).toEqual(
      new Set([
        "O=chancery-demo\nCN=chancery-demo issuing CA",
        "O=chancery-demo\nCN=chancery-demo issuing-ca-2",
      ]),
    );
    await expectKept(instance.origin, acknowledged);
    await verifyAll();
    await expectClean();
  },
);

test("what the CLI signs after the rotation is by the new CA, also after a restart", async () => {
  await instance.stop();
  instance = await startInstance(place);
  expect(await signAndVerify("after a restart")).toContain("issuing-ca-2");
  await verifyAll();
});

test(
  "a log is frozen: its entries are refused and shown, and everything else goes on",
  { timeout: 120_000 },
  async () => {
    const bundle = await buildV2();
    const [entry] = bundle.verificationMaterial.tlogEntries;
    bundles.push({ when: "in v2 before the freeze", bundle });
    const refused = await operate("freeze-log", "rekor-v2");
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain("create its successor first");
    const before = await checkpoint();
    const stream = signingStream();
    expect(await operate("freeze-log", "rekor-v2", "--without-successor")).toMatchObject({
      code: 0,
    });
    expect(await signAndVerify("after the freeze")).toContain("issuing-ca-2");
    for (const again of [false, true]) {
      if (again) {
        await expectKept(instance.origin, await stream.end());
        await instance.stop();
        instance = await startInstance(place);
      }
      const posted = await postAgain(entry?.canonicalizedBody ?? "");
      expect(posted.status).toBe(405);
      expect(await posted.text()).toContain("the log is frozen and takes no more entries");
      expect(await checkpoint()).toBe(before);
      const tile = await fetch(`${instance.origin}/tile/entries/000.p/${before.split("\n")[1]}`);
      expect(tile.status).toBe(200);
    }
    await verifyAll();
    await expectClean();
  },
);

test("a successor takes what the frozen log refuses", { timeout: 120_000 }, async () => {
  const frozen = await checkpoint();
  const created = await operate("create-log", "rekor-v2-b", "--format", "rekor-v2", "--serve");
  expect(created).toMatchObject({ code: 0 });
  // The instance is as it was until its services start again.
  expect(await checkpoint()).toBe(frozen);
  process.kill(await instance.pid("services"), "SIGKILL");
  await expectServing("rekor-v2-b");
  const bundle = await buildV2();
  bundles.push({ when: "in the successor", bundle });
  const logs = new Set(
    bundles.flatMap(({ bundle: { verificationMaterial } }) =>
      verificationMaterial.tlogEntries.map(({ logId }) => logId.keyId),
    ),
  );
  expect(logs.size).toBe(3);
  expect(await (await fetch(`${instance.origin}/logs/rekor-v2/checkpoint`)).text()).toBe(frozen);
  const again = await operate("create-log", "rekor-v2-b", "--format", "rekor-v2", "--serve");
  expect(again).toMatchObject({ code: 0 });
  expect(again.stdout).toContain("was done before");
  await verifyAll();
  await expectClean();
});

test.for([
  ["rotate-issuing-ca to a key that is there", ["rotate-issuing-ca", "issuing-ca"], 1],
  ["create-log of one that is there", ["create-log", "ct", "--format", "rfc6962"], 1],
  [
    "create-log on a key that is there",
    ["create-log", "x", "--format", "rfc6962", "--key", "ct-log"],
    1,
  ],
  ["create-log of a format that is none", ["create-log", "x", "--format", "rekor-v3"], 2],
  ["freeze-log of none", ["freeze-log", "nothing"], 2],
  [
    "the offline token's name wrong",
    ["freeze-log", "rekor", "--without-successor", "--offline-token", "x"],
    1,
  ],
  ["something else", ["destroy-everything"], 2],
] as const)("%s is refused and changes nothing", async ([, args, code]) => {
  const before = await state();
  const refused = await operate(...args);
  expect(refused.code).toBe(code);
  expect(refused.stderr).toMatch(/^chancery operate: .+/m);
  expect(await state()).toEqual(before);
  expect(await signAndVerify(args.join(" "))).toContain("issuing-ca-2");
});

/** Runs the CLI on the instance's home. */
async function operate(...args: readonly string[]) {
  return await chancery(instance.home, "operate", ...args);
}

/** Runs the rotation, and does `then` when it says `line`. Answers its exit code; null if it was killed. */
async function rotate(line: string, then: (pid: number) => Promise<void>): Promise<number | null> {
  const args = ["operate", "rotate-issuing-ca", "issuing-ca-2", "--hold-seconds", "5"];
  const child = spawn(cli, args, {
    env: { ...process.env, CHANCERY_HOME: instance.home },
    stdio: ["ignore", "ignore", "pipe"],
    // The launcher is a program of its own: both are killed, as a closed terminal would.
    detached: true,
  });
  const exited = once(child, "exit") as Promise<[number | null]>;
  let said = "";
  let reached: Promise<void> | null = null;
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString("utf8");
    if (said.includes(line)) reached ??= then(-(child.pid ?? 0));
  });
  const [code] = await exited;
  await reached;
  expect(said).toContain(line);
  return code;
}

/** Signs and logs in v1 until it is ended; what fails is tried again, as a client would. */
function signingStream(): { readonly end: () => Promise<readonly Acknowledged[]> } {
  const acknowledged: Acknowledged[] = [];
  let over = false;
  const lanes = Array.from({ length: 2 }, async () => {
    while (!over) {
      const one = await demoToken(instance, email)
        .then(async (token) => await signOnce(instance, token, email))
        .catch(() => null);
      if (one === null) await sleep(50);
      else acknowledged.push(one);
      // Not to measure, but to be there whenever something happens.
      await sleep(20);
    }
  });
  return {
    async end() {
      over = true;
      await Promise.all(lanes);
      return acknowledged;
    },
  };
}

/** The npm client signs and verifies; answers who issued. */
async function signAndVerify(when: string): Promise<string> {
  const options = {
    fulcioURL: instance.origin,
    rekorURL: instance.origin,
    identityToken: await token(),
  };
  const bundle = (await client.run({ action: "sign", data: artifact, options })) as Bundle;
  bundles.push({ when, bundle });
  await verify(bundle, await trust("one"));
  const { certificate, x509CertificateChain } = bundle.verificationMaterial;
  const leaf = certificate ?? x509CertificateChain?.certificates[0];
  return new X509Certificate(Buffer.from(leaf?.rawBytes ?? "", "base64")).issuer;
}

/** Everything that was ever signed verifies, for a client that has been there all the time, one that comes anew, and our CLI. */
async function verifyAll(): Promise<void> {
  const fresh = await trust(`fresh-${bundles.length}-${Date.now()}`);
  for (const { when, bundle } of bundles) {
    await verify(bundle, await trust("one"));
    await verify(bundle, fresh);
    const folder = join(client.folder, "cli");
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "artifact"), artifact);
    await writeFile(join(folder, "bundle.json"), JSON.stringify(bundle));
    const verified = await chancery(
      instance.home,
      "verify",
      join(folder, "artifact"),
      `--bundle=${join(folder, "bundle.json")}`,
      `--certificate-identity=${email}`,
      `--certificate-oidc-issuer=${instance.origin}/oidc`,
    );
    expect(verified, when).toMatchObject({ code: 0 });
  }
}

async function verify(bundle: Bundle, options: object): Promise<void> {
  const timestamps = bundle.verificationMaterial as { timestampVerificationData?: unknown };
  const threshold =
    timestamps.timestampVerificationData === undefined ? {} : { timestampThreshold: 1 };
  const signer = await client.run({
    action: "verify",
    bundle,
    data: artifact,
    options: { ...options, ...threshold },
  });
  expect(signer).toMatchObject({ subjectAlternativeName: email });
}

/** The npm client signs with Rekor v2, given only the signing configuration that TUF serves. */
async function buildV2(): Promise<Bundle> {
  const signingConfig = JSON.parse(
    await readFile(join(instance.home, "trust", v2Target), "utf8"),
  ) as object;
  const bundle = (await client.run({
    action: "build",
    data: artifact,
    signingConfig,
    identityToken: await token(),
  })) as Bundle;
  await verify(bundle, await trust("one"));
  return bundle;
}

async function postAgain(canonicalizedBody: string): Promise<Response> {
  const { spec } = JSON.parse(Buffer.from(canonicalizedBody, "base64").toString()) as {
    spec: { hashedRekordV002: { data: { digest: string }; signature: object } };
  };
  const { data, signature } = spec.hashedRekordV002;
  return await fetch(`${instance.origin}/api/v2/log/entries`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ hashedRekordRequestV002: { digest: data.digest, signature } }),
  });
}

async function checkpoint(): Promise<string> {
  return await (await fetch(`${instance.origin}/checkpoint`)).text();
}

/** The services have ended and started again, with this log. */
async function expectServing(log: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < 30_000; waitedMs += 100) {
    const answer = await fetch(`${instance.origin}/logs/${log}/checkpoint`).catch(() => null);
    if (answer?.status === 200) break;
    await sleep(100);
  }
  await expectReady(instance.origin, 30_000);
}

/** No damage anywhere, and every transcript verifies. */
async function expectClean(): Promise<void> {
  expect(await chancery(instance.home, "fsck")).toMatchObject({ code: 0 });
  const folder = join(instance.home, "ceremony");
  const transcripts = (await readdir(folder)).filter((name) =>
    /^operation-.*\.transcript\.jsonl$/.test(name),
  );
  expect(transcripts.length).toBeGreaterThan(0);
  for (const name of transcripts) {
    const verified = await chancery(instance.home, "ceremony", "verify", join(folder, name));
    expect(verified, name).toMatchObject({ code: 0 });
  }
}

/** What operations change. */
async function state(): Promise<readonly string[]> {
  const files = ["config.yaml", "vault/keyring.json", "trust/trusted_root.json"];
  return [
    ...(await Promise.all(files.map((file) => readFile(join(instance.home, file), "utf8")))),
    ...(await readdir(join(instance.home, "data"))).filter((name) => name.endsWith(".db")),
  ];
}

function issuerOf({ certificates }: Acknowledged): string {
  return new X509Certificate(certificates[0] ?? "").issuer;
}

async function token(): Promise<string> {
  return await demoToken(instance, email);
}

/** What a stranger is told: the mirror, the initial root, and who should have signed. */
async function trust(name: string): Promise<object> {
  const root = join(client.folder, `root-${name}.json`);
  await copyFile(join(instance.home, "trust", "1.root.json"), root);
  const cache = join(client.folder, "cache", name);
  await mkdir(cache, { recursive: true });
  return {
    tufMirrorURL: `${instance.origin}/tuf`,
    tufRootPath: root,
    tufCachePath: cache,
    certificateIdentityEmail: email,
    certificateIssuer: `${instance.origin}/oidc`,
  };
}
