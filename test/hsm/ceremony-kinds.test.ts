/** The kinds of ceremony that are shipped, on a home that the genesis made. */
import { execFileSync } from "node:child_process";
import { hash, verify } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseTrustedRoot } from "../../core/formats/trusted-root.ts";
import * as tuf from "../../core/formats/tuf.ts";
import { runCeremony } from "../../hsm/ceremony/run.ts";
import { holdState } from "../../hsm/database.ts";
import { formatKeyring, parseKeyring } from "../../hsm/keyring.ts";
import { keyObject } from "../../hsm/public-key.ts";
import { verifyTranscript } from "../../hsm/commands.ts";
import { ceremonyHome, type CeremonyHome, smallScript } from "../support/ceremony.ts";
import { softHsmModule } from "../support/vault.ts";

const folder = new URL("../../deploy/ceremonies/", import.meta.url);
/** The log of Rekor v2 has a key of Ed25519 here. */
const scriptOf = (name: string) =>
  readFileSync(new URL(`${name}.yaml`, folder), "utf8").replace(
    "label: rekor-v2-log\n    algorithm: ecdsa-p256",
    "label: rekor-v2-log\n    algorithm: ed25519",
  );
const genesis = {
  origin: "http://localhost:8420",
  treeId: "1193050959916656506",
  logOrigin: "localhost",
  organization: "Chancery demo",
};

let at: CeremonyHome;
let hashes: ReadonlyMap<string, string>;

beforeAll(async () => {
  at = ceremonyHome(smallScript, ["online", "offline", "root-1", "root-2", "root-3"]);
  await both("demo-genesis", genesis);
  const { lines } = verifyTranscript(at.read("ceremony/demo-genesis.transcript.jsonl"));
  hashes = new Map(
    lines
      .filter(({ what }) => what === "key")
      .map(({ detail }) => [String(detail["label"]), String(detail["publicKeySha256"])]),
  );
});

afterAll(() => at[Symbol.dispose]());

/** Rehearsed, performed and verified. */
async function both(
  name: string,
  parameters: { readonly [name: string]: string },
  pins: { readonly [token: string]: string } = {},
): Promise<void> {
  const request = { ...at.script(scriptOf(name), parameters), pins };
  await runCeremony(request, "rehearse");
  const { transcript } = await runCeremony(request, "perform");
  verifyTranscript(readFileSync(transcript, "utf8"), { home: at.home, source: scriptOf(name) });
}

const sha256 = (label: string): string => hashes.get(label) ?? "";
const keyring = () => parseKeyring(at.read("vault/keyring.json")).keys.map(({ label }) => label);

test("clients are told of an Ed25519 log key by its own kind and id", () => {
  const { tlogs } = parseTrustedRoot(at.read("trust/trusted_root.json"));
  const bound = parseKeyring(at.read("vault/keyring.json")).keys.find(
    ({ label }) => label === "rekor-v2-log",
  );
  const spki = bound?.publicKey ?? new Uint8Array();
  const id = hash(
    "sha256",
    Buffer.concat([Buffer.from("localhost\n\u0001"), spki.subarray(-32)]),
    "buffer",
  );
  expect(tlogs.map(({ keyDetails }) => keyDetails)).toEqual([
    "PKIX_ECDSA_P256_SHA_256",
    "PKIX_ED25519",
  ]);
  expect(Buffer.from(tlogs[1]?.logId ?? [])).toEqual(id);
  expect(keyObject(spki).asymmetricKeyType).toBe("ed25519");
  const text = at.read("vault/keyring.json").replace(/"checkpoint"\n/g, '"scts"\n');
  expect(() => parseKeyring(text)).toThrow(/other purposes than ed25519 has/);
});

test("a timestamp authority: a leaf of the root with critical timeStamping, in the keyring", async () => {
  await both("timestamp-authority", {
    organization: "Chancery demo",
    rootKeySha256: sha256("root-ca"),
    transcriptKeySha256: sha256("transcript"),
  });
  const [root, leaf] = ["trust/root-ca.pem", "trust/timestamp-authority.pem"].map((path) =>
    join(at.home, path),
  );
  const openssl = (...args: string[]) => execFileSync("openssl", args, { encoding: "utf8" });
  const checked = openssl(
    "verify",
    "-x509_strict",
    "-purpose",
    "timestampsign",
    "-CAfile",
    root ?? "",
    leaf ?? "",
  );
  expect(checked).toContain("OK");
  const text = openssl("x509", "-in", leaf ?? "", "-noout", "-text");
  expect(text).toMatch(/Extended Key Usage: critical\s*\n\s*Time Stamping/);
  expect(at.read("trust/timestamp-authority-chain.pem").match(/BEGIN CERTIFICATE/g)).toHaveLength(
    2,
  );
  const bound = parseKeyring(at.read("vault/keyring.json")).keys.at(-1);
  expect(bound).toMatchObject({
    label: "timestamp-authority",
    purposes: ["timestamp"],
    policy: "1.3.6.1.4.1.57264.2",
  });
  expect(bound?.chain).toHaveLength(2);
});

test("a TUF root that needs two of three separate tokens", async () => {
  const pin = "0123456789abcdef0123456789abcdef";
  await both(
    "tuf-quorum",
    {
      origin: genesis.origin,
      transcriptKeySha256: sha256("transcript"),
      snapshotKeySha256: sha256("tuf-snapshot"),
      timestampKeySha256: sha256("tuf-timestamp"),
    },
    { "root-1": pin, "root-2": pin, "root-3": pin },
  );
  const file = tuf.parseSignedRole(at.read("trust/tuf-quorum/1.root.json"));
  const root = tuf.parseRoot(file.signed);
  expect(root.roles.root.threshold).toBe(2);
  expect(new Set(root.roles.root.keyids).size).toBe(3);
  const check = (signatures: typeof file.signatures) => () =>
    tuf.checkSignatures({ ...file, signatures }, "root", root, (spki, data, signature) =>
      verify("sha256", data, keyObject(spki), signature),
    );
  expect(check(file.signatures.slice(0, 2))).not.toThrow();
  expect(check(file.signatures.slice(0, 1))).toThrow();
});

/** The guard remembers a tree of the key's. */
function letItHaveSigned(key: string, serial: string): void {
  using held = holdState(join(at.home, "vault"), serial);
  held.database.prepare("INSERT INTO heads VALUES (?, 1, x'00', 0, 1)").run(key);
}

/** As the vault writes it when an operator has retired the log. */
function retireInKeyring(label: string): void {
  const bound = parseKeyring(at.read("vault/keyring.json"));
  const keys = bound.keys.map((key) =>
    key.label === label ? { ...key, retired: true as const } : key,
  );
  writeFileSync(join(at.home, "vault", "keyring.json"), formatKeyring({ ...bound, keys }));
}

test("destroys a key that was retired, and no other", async () => {
  const parameters = {
    transcriptKeySha256: sha256("transcript"),
    keySha256: sha256("rekor-v2-log"),
    confirmedKeySha256: sha256("rekor-v2-log"),
  };
  const perform = async (text: string, given: typeof parameters) => {
    const request = at.script(text, given);
    await runCeremony(request, "rehearse");
    return await runCeremony(request, "perform");
  };
  const text = scriptOf("destroy-key");
  const another = {
    ...parameters,
    keySha256: sha256("ct-log"),
    confirmedKeySha256: sha256("ct-log"),
  };
  await expect(perform(text.replace("destroy-key", "destroy-a"), another)).rejects.toThrow(
    /another key than the script pins/,
  );
  const unretired = text
    .replace("destroy-key", "destroy-b")
    .replace(/ {2}- step: retireKey\n.*\n.*\n.*\n/, "");
  await expect(perform(unretired, parameters)).rejects.toThrow(/is in the keyring; retire it/);
  const { serial } = parseKeyring(at.read("vault/keyring.json")).token;
  {
    using _running = holdState(join(at.home, "vault"), serial);
    const running = text.replace("destroy-key", "destroy-c");
    await expect(perform(running, parameters)).rejects.toThrow(/another vault holds/);
  }
  expect(keyring()).toContain("rekor-v2-log");
  letItHaveSigned("rekor-v2-log", serial);
  await expect(perform(text.replace("destroy-key", "destroy-d"), parameters)).rejects.toThrow(
    /log that is not retired/,
  );
  retireInKeyring("rekor-v2-log");
  const objects = () =>
    execFileSync(
      "pkcs11-tool",
      [
        "--module",
        softHsmModule,
        "--login",
        "--pin",
        at.read("secrets/pin").trim(),
        "--list-objects",
      ],
      {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
        env: { ...process.env, SOFTHSM2_CONF: join(at.home, "softhsm2-online.conf") },
      },
    );
  expect(objects()).toContain("rekor-v2-log");
  await both("destroy-key", parameters);
  expect(keyring()).not.toContain("rekor-v2-log");
  expect(objects()).not.toContain("rekor-v2-log");
  expect(objects()).toContain("rekor-v1-log");
});

test("stops if a hidden key turns up on a token while the ceremony runs", async () => {
  using small = ceremonyHome();
  await runCeremony(small.request, "rehearse");
  let steps = 0;
  const plant = (): void => {
    steps += 1;
    if (steps !== 5) return;
    const pin = small.read("secrets/offline-pin").trim();
    const data = join(small.home, "data");
    writeFileSync(data, "hidden");
    execFileSync(
      "pkcs11-tool",
      [
        "--module",
        softHsmModule,
        "--login",
        "--pin",
        pin,
        "--write-object",
        data,
        "--type",
        "data",
        "--label",
        "hidden",
      ],
      {
        stdio: "ignore",
        env: { ...process.env, SOFTHSM2_CONF: join(small.home, "softhsm2-offline.conf") },
      },
    );
  };
  await expect(runCeremony(small.request, "perform", { step: plant })).rejects.toThrow(
    /does not hold what it should: unexpected data hidden/,
  );
});
