/** What an operator has done to keys of a running vault: once, for operators alone, recorded, and taken up after a kill. */
import { createPublicKey, verify } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { verifySignature } from "../../core/crypto/verify.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import { emptyRoot } from "../../core/formats/merkle.ts";
import * as der from "../../core/formats/der.ts";
import { formatName } from "../../core/formats/x509.ts";
import type { QuestionOf } from "../../events/contract.ts";
import { bindChain, describeKey, generateKey, retireKey, sign } from "../../events/hsm.ts";
import { fsckVault } from "../../hsm/commands.ts";
import { formatKeyring, parseKeyring } from "../../hsm/keyring.ts";
import {
  basicConstraints,
  certificate,
  certSign,
  codeSigning,
  softKey,
  subjectKeyId,
} from "../crypto/soft-authority.ts";
import { authorityExtensions } from "../../hsm/ceremony/profiles.ts";
import "../support/matchers.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import { type SoftVault, softVault } from "../support/vault.ts";

const root = softKey("P-384");
const rootName = formatName({ commonName: "test root" });
const validity = { notBefore: new Date(Date.now() - 1_000), notAfter: new Date(Date.now() + 1e10) };
const rootCertificate = certificate(root, "ecdsa-sha384", {
  ...validity,
  issuer: rootName,
  subject: rootName,
  publicKey: root.spki,
  extensions: [certSign, basicConstraints(null), subjectKeyId(root.spki)],
});

/** A certificate as a ceremony makes it, for this key. */
const issuing = (publicKey: Uint8Array, signer = root, extensions = true): Uint8Array =>
  certificate(signer, "ecdsa-sha384", {
    ...validity,
    issuer: rootName,
    subject: formatName({ commonName: "test issuing CA" }),
    publicKey,
    extensions: extensions
      ? [...authorityExtensions("issuing", { subject: publicKey, issuer: root.spki })]
      : [certSign, basicConstraints(0n), codeSigning, subjectKeyId(publicKey)],
  });

const logKey: QuestionOf<typeof generateKey> = {
  label: "new-log",
  algorithm: "ecdsa-p256",
  purposes: ["checkpoint"],
  askers: ["log"],
  origin: "localhost",
  noteName: "localhost",
};
const edKey: QuestionOf<typeof generateKey> = {
  ...logKey,
  label: "ed-log",
  algorithm: "ed25519",
};
const caKey: QuestionOf<typeof generateKey> = {
  label: "issuing-ca-2",
  algorithm: "ecdsa-p256",
  purposes: ["certificate"],
  askers: ["issuer"],
};

let vault: SoftVault;
let house: TestInstallation;

beforeEach(async () => {
  vault = await softVault({
    keys: [
      {
        label: "issuing-ca",
        purposes: ["certificate"],
        askers: ["issuer"],
        chain: (publicKey) => [issuing(publicKey), rootCertificate],
      },
    ],
  });
  house = await start();
});
afterEach(async () => {
  await house.dispose();
  vault.dispose();
});

const start = async () =>
  await bootForTest({
    entries: [vault.entry],
    config: { hsm: vault.config },
    home: vault.home,
    pin: vault.pin,
  });
const restart = async () => {
  await house.dispose();
  house = await start();
};
const keyring = () => join(vault.home, "vault", "keyring.json");
const generate = async (key = logKey) => await house.ask(generateKey, key, "operator");
const ledger = () => {
  using database = new DatabaseSync(join(vault.home, "vault", "vault.db"), { readOnly: true });
  return database
    .prepare("SELECT body FROM ledger ORDER BY sequence")
    .all()
    .map((row) => String(row["body"]));
};
const checkpoint = async (key = "new-log") =>
  await house.ask(
    sign,
    {
      key,
      signable: { purpose: "checkpoint", size: 0n, root: emptyRoot(), consistencyProof: [] },
    },
    "log",
  );

describe("a key", () => {
  test("is made on the token while the vault runs, signs at once and after a restart", async () => {
    const { publicKey, id } = await generate();
    expect(id).toHaveLength(16);
    const key = importPublicKey(publicKey);
    for (const again of [false, true]) {
      if (again) await restart();
      const { signatures, signed } = await checkpoint();
      expect(verifySignature(key, signed ?? id, signatures[0] ?? id)).toBe(true);
    }
    expect(await house.ask(describeKey, { key: "new-log" })).toMatchObject({
      publicKey,
      origin: "localhost",
      purposes: ["checkpoint"],
    });
    await house.dispose();
    const { findings } = await fsckVault({ home: vault.home });
    expect(findings).toEqual([]);
  });

  test("of Ed25519 is made on the token too, for checkpoints and nothing else", async () => {
    const { publicKey } = await generate(edKey);
    for (const again of [false, true]) {
      if (again) await restart();
      const { signatures, signed } = await checkpoint(edKey.label);
      const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
      expect(key.asymmetricKeyType).toBe("ed25519");
      expect(verify(null, signed ?? publicKey, key, signatures[0] ?? publicKey)).toBe(true);
    }
    for (const purposes of [["scts"], ["checkpoint", "signedEntryTimestamps"], ["certificate"]]) {
      const question = { ...edKey, label: "ed-other", purposes } as typeof edKey;
      await expect(generate(question)).toFailWith("operation-refused");
    }
    await house.dispose();
    const { findings } = await fsckVault({ home: vault.home });
    expect(findings).toEqual([]);
  });

  test("is announced in the ledger before it is made, and told of when it is there", async () => {
    await generate();
    const rows = ledger().filter((body) => body.includes('"type":"operation"'));
    expect(rows.map((body) => /"phase":"(\w+)"/.exec(body)?.[1])).toEqual(["announced", "done"]);
    expect(rows[0]).toContain('"asker":"operator"');
  });

  test("is the same when it is asked for again, also by many at once", async () => {
    const answers = await Promise.all([generate(), generate(), generate()]);
    await restart();
    answers.push(await generate());
    const ids = new Set(answers.map(({ id }) => Buffer.from(id).toString("hex")));
    expect(ids.size).toBe(1);
  });
});

describe("the key of a retired log", () => {
  const retire = (key: string, asker = "operator") => house.ask(retireKey, { key }, asker);

  test("signs nothing more, also after a restart, and is told of in the ledger", async () => {
    await generate();
    await checkpoint();
    await retire("new-log");
    for (const again of [false, true]) {
      if (again) await restart();
      await expect(checkpoint()).toFailWith("purpose-refused");
      await retire("new-log");
    }
    const rows = ledger().filter((body) => body.includes('"operation":"retireKey"'));
    expect(rows[0]).toContain('"phase":"announced"');
    expect(rows[1]).toContain('"phase":"done"');
    // A ceremony takes it out of the keyring; what it signed stays accounted for.
    await house.dispose();
    const keys = parseKeyring(readFileSync(keyring(), "utf8"));
    keys.keys = keys.keys.filter(({ label }) => label !== "new-log");
    writeFileSync(keyring(), formatKeyring(keys));
    expect((await fsckVault({ home: vault.home })).findings).toEqual([]);
    house = await start();
  });

  test.for([
    ["somebody else", "new-log", "log", "access-denied"],
    ["a key that is no log's", "issuing-ca", "operator", "operation-refused"],
    ["a key that is none", "nothing", "operator", "operation-refused"],
  ] as const)("is refused to %s", async ([, key, asker, code]) => {
    await generate();
    await expect(retire(key, asker)).toFailWith(code);
    await checkpoint();
  });
});

describe("a key that is there, or half there,", () => {
  test("when the vault was killed, is made only once", async () => {
    const before = readFileSync(keyring(), "utf8");
    const { publicKey, id } = await generate();
    await house.dispose();
    // What a kill after C_GenerateKeyPair leaves: the pair and its announcement, and the keyring from before.
    writeFileSync(keyring(), before);
    using database = new DatabaseSync(join(vault.home, "vault", "vault.db"));
    const announced = /"phase":"announced".*?"hash":"(\w+)"/.exec(ledger().join("\n"))?.[1] ?? "";
    database
      .prepare("INSERT INTO announced (key, id, hash) VALUES (?, ?, ?)")
      .run("new-log", id, announced);
    database.close();
    house = await start();
    await expect(house.ask(describeKey, { key: "new-log" })).toFailWith("key-unavailable");
    expect(await generate()).toEqual({ publicKey, id });
    await checkpoint();
    await expect(generate({ ...logKey, origin: "elsewhere" })).toFailWith("operation-refused");
  });

  test.for([
    ["of another origin", { ...logKey, origin: "elsewhere" }],
    ["for another purpose", { ...logKey, purposes: ["scts" as const] }],
    ["of another kind", { ...logKey, algorithm: "ecdsa-p384" as const }],
  ] as const)("of a label in use is refused %s, and nothing changes", async ([, other]) => {
    await generate();
    const before = readFileSync(keyring(), "utf8");
    await expect(
      house.ask(generateKey, { ...other, purposes: [...other.purposes] }, "operator"),
    ).toFailWith("operation-refused");
    expect(readFileSync(keyring(), "utf8")).toBe(before);
  });

  test("whose label is on the token but not in the keyring is not made", async () => {
    const before = readFileSync(keyring(), "utf8");
    await generate();
    await house.dispose();
    writeFileSync(keyring(), before);
    house = await start();
    await expect(generate()).toFailWith("operation-refused");
    expect(readFileSync(keyring(), "utf8")).toBe(before);
  });

  test.for(["issuer", "log", "trust", "http", "test"])(
    "is not made for %s, which is recorded",
    async (asker) => {
      const before = readFileSync(keyring(), "utf8");
      await expect(house.ask(generateKey, logKey, asker)).toFailWith("access-denied");
      await expect(
        house.ask(bindChain, { key: "issuing-ca", chain: [root.spki, root.spki] }, asker),
      ).toFailWith("access-denied");
      expect(readFileSync(keyring(), "utf8")).toBe(before);
      const refusals = ledger().filter((body) => body.includes('"type":"refusal"'));
      expect(refusals.map((body) => body.includes(`"asker":"${asker}"`))).toEqual([true, true]);
    },
  );
});

describe("a certificate", () => {
  test("is bound to a new key once, and stays", async () => {
    const { publicKey } = await generate(caKey);
    const chain = [issuing(publicKey), rootCertificate];
    for (const again of [false, true]) {
      if (again) await restart();
      await house.ask(bindChain, { key: "issuing-ca-2", chain }, "operator");
      expect(await house.ask(describeKey, { key: "issuing-ca-2" })).toMatchObject({ chain });
    }
    const other = [issuing(publicKey), rootCertificate];
    await expect(
      house.ask(bindChain, { key: "issuing-ca-2", chain: other }, "operator"),
    ).toFailWith("operation-refused");
  });

  const foreign = softKey("P-384");
  const foreignRoot = certificate(foreign, "ecdsa-sha384", {
    ...validity,
    issuer: rootName,
    subject: rootName,
    publicKey: foreign.spki,
    extensions: [certSign, basicConstraints(null), subjectKeyId(foreign.spki)],
  });
  test.for([
    ["of another key", () => [issuing(softKey("P-256").spki), rootCertificate]],
    ["below a root that the keyring does not know", (key) => [issuing(key, foreign), foreignRoot]],
    ["that its root did not sign", (key) => [issuing(key, foreign), rootCertificate]],
    ["that breaks a rule for CAs", (key) => [issuing(key, root, false), rootCertificate]],
    ["of bytes that are none", () => [der.nullValue(), rootCertificate]],
  ] as const satisfies readonly (readonly [string, (key: Uint8Array) => Uint8Array[]])[])(
    "%s is refused, and nothing changes",
    async ([, chainOf]) => {
      const { publicKey } = await generate(caKey);
      const before = readFileSync(keyring(), "utf8");
      const asked = house.ask(
        bindChain,
        { key: "issuing-ca-2", chain: chainOf(publicKey) },
        "operator",
      );
      await expect(asked).rejects.toThrow();
      expect(readFileSync(keyring(), "utf8")).toBe(before);
      expect((await house.ask(describeKey, { key: "issuing-ca-2" })).chain).toBeUndefined();
    },
  );

  test("is refused for a key that signs none, and for none", async () => {
    const { publicKey } = await generate();
    const chain = [issuing(publicKey), rootCertificate];
    for (const key of ["new-log", "nobody"]) {
      await expect(house.ask(bindChain, { key, chain }, "operator")).toFailWith(
        "operation-refused",
      );
    }
  });
});
