/** Rekor v2 over the real log and a vault on SoftHSM: every kind of key under every name, digests of every length, both forms of DSSE. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { ed25519ph } from "@noble/curves/ed25519.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { digest, sha256 } from "../../../core/crypto/hash.ts";
import { pae } from "../../../core/formats/dsse.ts";
import {
  decodeBase64Url,
  decodeUtf8,
  encodeBase64,
  encodeUtf8,
} from "../../../core/formats/encoding.ts";
import { leafHash, verifyInclusion } from "../../../core/formats/merkle.ts";
import { acceptedKeyDetails, type KeyDetails } from "../../../core/formats/rekor-v2.ts";
import { latestHead } from "../../../events/log.ts";
import { createEntryV2 } from "../../../events/rekor.ts";
import log from "../../../plugins/log/plugin.ts";
import plugin from "../../../plugins/rekor/plugin.ts";
import { bootForTest, type TestInstallation } from "../../support/boot.ts";
import { demoKeys, type SoftVault, softVault } from "../../support/vault.ts";
import "../../support/matchers.ts";

const treeId = "1193050959916656506";
const artifact = encodeUtf8("the analytical engine");
const payloadType = "application/vnd.in-toto+json";

const pairs = {
  "ecdsa-p256": generateKeyPairSync("ec", { namedCurve: "P-256" }),
  "ecdsa-p384": generateKeyPairSync("ec", { namedCurve: "P-384" }),
  "ecdsa-p521": generateKeyPairSync("ec", { namedCurve: "P-521" }),
  "rsa-2048": generateKeyPairSync("rsa", { modulusLength: 2_048 }),
  "rsa-3072": generateKeyPairSync("rsa", { modulusLength: 3_072 }),
  "rsa-4096": generateKeyPairSync("rsa", { modulusLength: 4_096 }),
  ed25519: generateKeyPairSync("ed25519"),
} as const;
type KeyName = keyof typeof pairs;
const keyNames = Object.keys(pairs) as readonly KeyName[];
const detailNames = Object.keys(acceptedKeyDetails) as readonly KeyDetails[];

let vault: SoftVault;
let house: TestInstallation;

beforeAll(async () => {
  const labels = ["rekor-v1-log", "rekor-v2-log"];
  vault = await softVault({ keys: demoKeys.filter(({ label }) => labels.includes(label)) });
  house = await boot("hashedrekord");
});
afterAll(async () => {
  await house.dispose();
  vault.dispose();
});

async function boot(dsse: "hashedrekord" | "dsse"): Promise<TestInstallation> {
  return await bootForTest({
    entries: [vault.entry, log, plugin],
    config: {
      hsm: vault.config,
      log: {
        logs: [
          { name: "rekor", format: "rekor-v1", key: "rekor-v1-log", treeId },
          { name: "rekor-v2", format: "rekor-v2", key: "rekor-v2-log" },
        ],
      },
      rekor: { treeId, v2: { dsse } },
    },
    home: vault.home,
    pin: vault.pin,
  });
}

function spkiOf(name: KeyName): string {
  const der = pairs[name].publicKey.export({ format: "der", type: "spki" });
  return encodeBase64(new Uint8Array(der));
}

function signWith(key: KeyObject, hash: "sha256" | "sha384" | "sha512", data: Uint8Array): string {
  if (key.asymmetricKeyType !== "ed25519") {
    return encodeBase64(new Uint8Array(sign(hash, data, key)));
  }
  return encodeBase64(ed25519ph.sign(data, decodeBase64Url(key.export({ format: "jwk" }).d ?? "")));
}

function request(name: KeyName, keyDetails: unknown, data = artifact) {
  const known = detailNames.find((one) => one === keyDetails);
  const { hash } = acceptedKeyDetails[known ?? detailOf(name)];
  return {
    hashedRekordRequestV002: {
      digest: encodeBase64(digest(hash, data)),
      signature: {
        content: signWith(pairs[name].privateKey, hash, data),
        verifier: { publicKey: { rawBytes: spkiOf(name) }, keyDetails },
      },
    },
  };
}

function detailOf(name: KeyName): KeyDetails {
  const found = detailNames.find((one) => acceptedKeyDetails[one].key === name);
  if (found === undefined) throw new Error(`no details of ${name}`);
  return found;
}

async function create(asked: unknown) {
  return await house.ask(createEntryV2, { request: encodeUtf8(JSON.stringify(asked)) });
}

async function size(): Promise<bigint> {
  const answer = await house.ask(latestHead, { log: "rekor-v2" }).catch(() => null);
  return answer?.head.size ?? 0n;
}

describe("key details and keys (TC-R11)", () => {
  test.for(keyNames.flatMap((name) => detailNames.map((details) => [name, details] as const)))(
    "%s as %s",
    async ([name, details]) => {
      if (acceptedKeyDetails[details].key !== name) {
        const before = await size();
        await expect(create(request(name, details))).toFailWith("key-insecure");
        expect(await size()).toBe(before);
        return;
      }
      const entry = await create(request(name, details));
      expect(JSON.parse(decodeUtf8(entry.body))).toMatchObject({
        apiVersion: "0.0.2",
        kind: "hashedrekord",
        spec: { hashedRekordV002: { signature: { verifier: { keyDetails: details } } } },
      });
      const { index, root, hashes: proof } = entry;
      const hash = leafHash(entry.body);
      expect(verifyInclusion({ index, size: entry.size, leafHash: hash, root, proof })).toBe(true);
      expect(entry.checkpoint.split("\n")[0]).toBe("localhost");
      // Deterministic signatures give the same entry.
      const again = await create(request(name, details));
      if (!name.startsWith("ecdsa")) expect(again.index).toBe(index);
    },
  );

  test.for<[string, unknown]>([
    ["absent", undefined],
    ["zero", 0],
    ["an unknown number", 99],
    ["an unknown name", "PKIX_ECDSA_P999"],
    ["unspecified", "PUBLIC_KEY_DETAILS_UNSPECIFIED"],
    ["deprecated", "PKCS1_RSA_PKCS1V5"],
    ["of another signature scheme", "PKIX_RSA_PSS_2048_SHA256"],
    ["pure Ed25519", "PKIX_ED25519"],
    ["a list", ["PKIX_ECDSA_P256_SHA_256"]],
  ])("details that are %s are refused", async ([, details]) => {
    await expect(create(request("ecdsa-p256", details))).toFailWith("key-insecure");
  });

  test("details by number are logged by name", async () => {
    const { body } = await create(request("ecdsa-p256", 5));
    expect(decodeUtf8(body)).toContain('"keyDetails":"PKIX_ECDSA_P256_SHA_256"');
  });
});

const good = () => request("ecdsa-p256", "PKIX_ECDSA_P256_SHA_256").hashedRekordRequestV002;

describe("refuses", () => {
  test.for([0, 31, 33, 48, 64])("a SHA-256 digest of %i bytes (TC-R12)", async (length) => {
    const asked = { ...good(), digest: encodeBase64(new Uint8Array(length)) };
    await expect(create({ hashedRekordRequestV002: asked })).toFailWith("malformed");
  });

  test.for<[string, () => unknown, string]>([
    ["nothing", () => ({}), "malformed"],
    ["a list", () => [], "malformed"],
    [
      "both requests",
      () => ({ hashedRekordRequestV002: good(), dsseRequestV002: {} }),
      "malformed",
    ],
    ["an unknown member", () => ({ hashedRekordRequestV002: { ...good(), x: 1 } }), "malformed"],
    [
      "a member in both spellings",
      () => ({ hashedRekordRequestV002: good(), hashed_rekord_request_v002: good() }),
      "malformed",
    ],
    [
      "no verifier",
      () => ({ hashedRekordRequestV002: { ...good(), signature: { content: "AA==" } } }),
      "malformed",
    ],
    [
      "a signature over something else",
      () => ({
        hashedRekordRequestV002: {
          ...good(),
          digest: encodeBase64(sha256(encodeUtf8("something else"))),
        },
      }),
      "signature-invalid",
    ],
    ["a key that is none", () => withKey("AAAA"), "key-malformed"],
    ["a key that is not base64", () => withKey("*"), "malformed"],
  ])("%s", async ([, asked, code]) => {
    const before = await size();
    await expect(create(asked())).toFailWith(code as "malformed");
    expect(await size()).toBe(before);
  });
});

test("takes the proto file's spelling", async () => {
  const { digest: hash, signature } = request(
    "ecdsa-p256",
    "PKIX_ECDSA_P256_SHA_256",
    pae("a", artifact),
  ).hashedRekordRequestV002;
  const { content, verifier } = signature;
  const entry = await create({
    hashed_rekord_request_v002: {
      digest: hash,
      signature: {
        content,
        verifier: {
          public_key: { raw_bytes: spkiOf("ecdsa-p256") },
          key_details: verifier.keyDetails,
        },
      },
    },
  });
  expect(entry).toMatchObject({ kind: "hashedrekord", version: "0.0.2" });
});

describe("bytes (Protobuf's JSON form)", () => {
  const spelled = (respell: (base64: string) => string) => {
    const { digest: hash, signature } = good();
    const { content, verifier } = signature;
    const rawBytes = respell(verifier.publicKey.rawBytes);
    return {
      hashedRekordRequestV002: {
        digest: respell(hash),
        signature: {
          content: respell(content),
          verifier: { x509_certificate: null, publicKey: { rawBytes }, key_details: 5 },
        },
      },
    };
  };
  const urlSafe = (text: string) => text.replaceAll("+", "-").replaceAll("/", "_");
  const bare = (text: string) => text.replaceAll("=", "");

  test("are the same entry in either alphabet, with padding or without", async () => {
    for (const respell of [bare, urlSafe, (text: string) => bare(urlSafe(text))]) {
      const asked = spelled(respell);
      const entry = await create(asked);
      expect(decodeUtf8(entry.body)).toContain(`"digest":"${good().digest}"`);
      const at = await size();
      expect((await create(asked)).index).toBe(entry.index);
      expect(await size()).toBe(at);
    }
  });

  test.for([
    ["half a padding", (text: string) => `${bare(text)}=`],
    ["white space", (text: string) => `${text}\n`],
    ["both alphabets", (text: string) => `-_+/${text}`],
    ["stray bits", (text: string) => `${text}AB`],
  ] as const)("with %s are refused", async ([, respell]) => {
    await expect(create(spelled(respell))).toFailWith("malformed");
  });
});

describe("an envelope", () => {
  const payload = encodeUtf8('{"_type":"https://in-toto.io/Statement/v1"}');
  const message = pae(payloadType, payload);
  const keyDetails = "PKIX_ECDSA_P256_SHA_256";
  const sig = signWith(pairs["ecdsa-p256"].privateKey, "sha256", message);
  const asked = (signatures: object[] = [{ sig, keyid: "" }]) => ({
    dsseRequestV002: {
      envelope: { payload: encodeBase64(payload), payloadType, signatures },
      verifiers: [{ publicKey: { rawBytes: spkiOf("ecdsa-p256") }, keyDetails }],
    },
  });

  test("is logged as the signature over its pre-authentication encoding", async () => {
    const { kind, body } = await create(asked());
    expect(kind).toBe("hashedrekord");
    expect(JSON.parse(decodeUtf8(body))).toMatchObject({
      spec: {
        hashedRekordV002: {
          data: { algorithm: "SHA2_256", digest: encodeBase64(sha256(message)) },
          signature: { content: sig },
        },
      },
    });
    const more = signWith(pairs["ecdsa-p256"].privateKey, "sha256", message);
    await expect(create(asked([{ sig }, { sig: more }]))).toFailWith("malformed");
    await expect(
      create(asked([{ sig: signWith(pairs["ecdsa-p256"].privateKey, "sha256", payload) }])),
    ).toFailWith("signature-invalid");
  });

  test("is logged as dsse 0.0.2 for old verifiers, if that is configured", async () => {
    await house.dispose();
    // A vault remembers the log it has signed for, and refuses an empty one after it.
    const fresh = await softVault({
      keys: demoKeys.filter(({ label }) => label.startsWith("rekor-")),
    });
    vault.dispose();
    vault = fresh;
    house = await boot("dsse");
    const { kind, body } = await create(asked());
    expect(kind).toBe("dsse");
    expect(JSON.parse(decodeUtf8(body))).toEqual({
      apiVersion: "0.0.2",
      kind: "dsse",
      spec: {
        dsseV002: {
          payloadHash: { algorithm: "SHA2_256", digest: encodeBase64(sha256(payload)) },
          signatures: [
            {
              content: sig,
              verifier: { publicKey: { rawBytes: spkiOf("ecdsa-p256") }, keyDetails },
            },
          ],
        },
      },
    });
  });
});

function withKey(rawBytes: string): unknown {
  const { digest: hash, signature } = good();
  const verifier = { ...signature.verifier, publicKey: { rawBytes } };
  return { hashedRekordRequestV002: { digest: hash, signature: { ...signature, verifier } } };
}
