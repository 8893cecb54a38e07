import { renameSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PinRefused } from "../../core/plugin.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { sctSignatureInput } from "../../core/formats/sct.ts";
import { completeCertificate, sign } from "../../events/hsm.ts";
import { fsckVault } from "../../hsm/commands.ts";
import { Pool } from "../../hsm/pool.ts";
import { schemes, verifier } from "../../hsm/public-key.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import { type FaultModule, faultModule } from "../support/fault-module.ts";
import { type SoftKey, softVault, type SoftVault } from "../support/vault.ts";
import { newLeaf, selfIssued } from "./leaf.ts";

const keys: readonly SoftKey[] = [
  { label: "ct-log", purposes: ["scts"], askers: ["log"] },
  { label: "other-log", purposes: ["scts"], askers: ["log"] },
  { label: "issuing-ca", purposes: ["certificate"], askers: ["issuer"], chain: selfIssued },
];

const session = ["0xb3", "0xb0", "0x101", "0x82", "0x60", "0x90", "0x150"];
const device = ["0x30", "0x31", "0x32", "0xe0", "0x5", "0x6", "0x2", "0x190"];
const cases = ["C_Sign", "C_SignInit"].flatMap((name) =>
  [...session, ...device].map((code) => [name, code] as const),
);

let faults: FaultModule;
let vault: SoftVault;
let installation: TestInstallation;
let countBefore: number;

beforeAll(() => {
  faults = faultModule();
});

afterEach(async () => {
  faults.inject();
  await installation.dispose();
  vault.dispose();
});

describe.each(["sync", "async"] as const)("a vault that signs %s", (signing) => {
  beforeEach(async () => {
    await start(signing);
  });

  test.each(cases)("recovers by itself from %s answering %s", async (name, code) => {
    faults.inject(`${name} rv=${code} *`);
    const asked = scts(3);
    await sleep(60);
    faults.inject();
    expect(good("ct-log", await asked)).toBe(true);
    await expectLedgerCounts();
  });

  test.each(["0x30", "0xb1", "0x5"])(
    "recovers from C_OpenSession answering %s after the session was lost",
    async (code) => {
      faults.inject("C_Sign rv=0xb3 *", `C_OpenSession rv=${code} *`);
      const asked = scts(2);
      await sleep(90);
      faults.inject();
      expect(good("ct-log", await asked)).toBe(true);
      await expectLedgerCounts();
    },
  );
});

describe.each(["sync", "async"] as const)(
  "a device that stays away from a vault that signs %s",
  (signing) => {
    beforeEach(async () => {
      await start(signing);
    });

    test("opens the circuit when the device stays away, says so, and recovers without a restart", async () => {
      faults.inject("C_SignInit rv=0x32 *", "C_OpenSession rv=0x32 *");
      await expect(scts(1)).rejects.toMatchObject({ code: "key-unavailable" });
      expect(health()).toMatchObject({ status: "failed" });
      await expect(scts(1)).rejects.toMatchObject({ code: "key-unavailable" });
      faults.inject();
      while (health().status === "failed") await sleep(50);
      expect(good("ct-log", await scts(1))).toBe(true);
      await expectLedgerCounts();
    });
  },
);

describe.each(["sync", "async"] as const)("a certificate in a vault that signs %s", (signing) => {
  beforeEach(async () => {
    await start(signing);
  });

  test("abandons a certificate whose C_Sign failed, and its certificate with it", async () => {
    const leaf = newLeaf(vault.keys["issuing-ca"] ?? new Uint8Array());
    faults.inject("C_Sign rv=0x30 *");
    await expect(certify(leaf.pre, leaf)).rejects.toMatchObject({ code: "key-unavailable" });
    faults.inject();
    const outcomes: unknown[] = [];
    const again = async (): Promise<unknown> => {
      const outcome = await certify(leaf.pre, leaf).then(
        () => "signed",
        (error: { code?: unknown }) => error.code,
      );
      outcomes.push(outcome);
      return outcome;
    };
    // As soon as the device is back.
    await expect.poll(again).toBe("guard-refused");
    expect(outcomes).not.toContain("signed");
    await expect(complete(leaf)).rejects.toMatchObject({ code: "guard-refused" });
    await expectLedgerCounts();
  });

  test("tries a certificate again that C_SignInit refused, and then signs the final one", async () => {
    const leaf = newLeaf(vault.keys["issuing-ca"] ?? new Uint8Array());
    faults.inject("C_SignInit rv=0x30 *");
    const asked = certify(leaf.pre, leaf);
    await sleep(60);
    faults.inject();
    expect(await asked).toHaveLength(1);
    const completed = complete(leaf);
    await promise(leaf);
    expect((await completed).signature.length).toBeGreaterThan(0);
    await expectLedgerCounts();
  });
});

describe.each(["sync", "async"] as const)(
  "a certificate that was held by a vault that signs %s",
  (signing) => {
    beforeEach(async () => {
      await start(signing);
    });

    test("is abandoned when its own C_Sign failed", async () => {
      const leaf = newLeaf(vault.keys["issuing-ca"] ?? new Uint8Array());
      await certify(leaf.pre, leaf);
      await promise(leaf);
      faults.inject("C_Sign rv=0x30 *");
      await expect(complete(leaf)).rejects.toMatchObject({ code: "key-unavailable" });
      faults.inject();
      // As soon as the device is back, and for good.
      const code = async () =>
        await complete(leaf).then(
          () => "signed",
          (error: { code?: unknown }) => error.code,
        );
      await expect.poll(code).toBe("guard-refused");
      await expectLedgerCounts();
    });

    test("is tried again under another row when its own C_SignInit refused", async () => {
      const leaf = newLeaf(vault.keys["issuing-ca"] ?? new Uint8Array());
      await certify(leaf.pre, leaf);
      await promise(leaf);
      faults.inject("C_SignInit rv=0x30 *");
      const completed = complete(leaf);
      await sleep(60);
      faults.inject();
      expect((await completed).signature.length).toBeGreaterThan(0);
      await expectLedgerCounts();
    });
  },
);

describe.each(["sync", "async"] as const)("a vault that signs %s, among lies", (signing) => {
  beforeEach(async () => {
    await start(signing);
  });

  test("stops when the token's objects are gone, and goes on when they are back", async () => {
    const away = `${vault.tokens}.away`;
    renameSync(vault.tokens, away);
    faults.inject("C_Sign rv=0xb3 *");
    await expect(scts(1)).rejects.toMatchObject({ code: "key-unavailable" });
    faults.inject();
    await sleep(100);
    // It is the objects that it lacks.
    expect(health()).toMatchObject({ status: "failed" });
    renameSync(away, vault.tokens);
    while (health().status === "failed") await sleep(50);
    expect(good("ct-log", await scts(1))).toBe(true);
  });

  test.each(["flip", "zero"])(
    "never releases a signature after %s, and quarantines the key",
    async (lie) => {
      const issuingKey = vault.keys["issuing-ca"] ?? new Uint8Array();
      const [leaf, later] = [newLeaf(issuingKey), newLeaf(issuingKey)];
      await certify(leaf.pre, leaf);
      await certify(later.pre, later);
      const held = complete(leaf);
      held.catch(() => undefined);
      faults.inject(`C_Sign ${lie} *`);
      await expect(scts(4)).rejects.toMatchObject({ code: "key-unavailable" });
      faults.inject();
      // No SCT can come any more for what waited for it, or for what asks later.
      await expect(held).rejects.toMatchObject({ code: "key-unavailable" });
      await expect(complete(later)).rejects.toMatchObject({ code: "key-unavailable" });
      await expect(scts(1)).rejects.toMatchObject({ code: "key-unavailable" });
      expect(health()).toMatchObject({ status: "failed" });
      expect(good("other-log", await scts(1, "other-log"))).toBe(true);
      await expectLedgerCounts();
    },
  );
});

test("tries a PIN that is refused later exactly once, and signs no more", async () => {
  await start("sync");
  await installation.dispose();
  const refusals: PinRefused[] = [];
  using pool = Pool.open({
    module: faults.path,
    token: vault.keyring.token,
    pin: vault.pinText,
    keys: vault.keyring.keys,
    sessions: 2,
    reconnectAfterMs: [1, 1, 1],
    probeEveryMs: 1,
    hangLimitMs: 0,
    onHang: () => undefined,
    onPinRefused: (error) => refusals.push(error),
  });
  faults.inject("C_Login rv=0xa4 *");
  expect(await pool.recover(pool.generation)).toBe(false);
  await sleep(50);
  expect(refusals).toHaveLength(1);
  expect(refusals[0]).toBeInstanceOf(PinRefused);
  expect(() => pool.signNow("ct-log", schemes["ecdsa-p256"], new Uint8Array(32))).toThrow(/CKR_/);
});

test("passes nothing but digests of the right length to the device", async () => {
  await start("sync");
  await installation.dispose();
  using pool = Pool.open({
    module: faults.path,
    token: vault.keyring.token,
    pin: vault.pinText,
    keys: vault.keyring.keys,
    sessions: 2,
    reconnectAfterMs: [1],
    probeEveryMs: 1_000,
    hangLimitMs: 0,
    onHang: () => undefined,
    onPinRefused: () => undefined,
  });
  const before = faults.count();
  for (const length of [0, 31, 33, 48, 64, 512]) {
    const input = new Uint8Array(length);
    expect(() => pool.signNow("ct-log", schemes["ecdsa-p256"], input)).toThrow(/digest/);
    await expect(pool.signLater("ct-log", schemes["ecdsa-p256"], input)).rejects.toThrow(/digest/);
  }
  expect(faults.count()).toBe(before);
  expect(pool.signNow("ct-log", schemes["ecdsa-p256"], new Uint8Array(32))).toHaveLength(64);
});

async function start(signing: "sync" | "async"): Promise<void> {
  faults.inject();
  vault = await softVault({ keys, module: faults.path, config: { signing } });
  countBefore = faults.count();
  installation = await bootForTest({
    entries: [vault.entry],
    config: { hsm: vault.config },
    home: vault.home,
    pin: vault.pin,
  });
}

const timestampMs = 1_700_000_000_000n;
const certificateOf = (index: number) => encodeUtf8(`certificate ${index}`);

async function scts(count: number, key = "ct-log"): Promise<readonly Uint8Array[]> {
  const entries = Array.from({ length: count }, (_, index) => ({
    kind: "certificate" as const,
    timestampMs,
    certificate: certificateOf(index),
  }));
  const signable = { purpose: "scts" as const, entries };
  return (await installation.ask(sign, { key, signable }, "log")).signatures;
}

async function certify(tbs: Uint8Array, { verdict }: ReturnType<typeof newLeaf>) {
  const signable = { purpose: "certificate" as const, tbs, verdict };
  return (await installation.ask(sign, { key: "issuing-ca", signable }, "issuer")).signatures;
}

async function promise({ entry }: Pick<ReturnType<typeof newLeaf>, "entry">): Promise<void> {
  const signable = { purpose: "scts" as const, entries: [entry] };
  await installation.ask(sign, { key: "ct-log", signable }, "log");
}

async function complete({ completion }: Pick<ReturnType<typeof newLeaf>, "completion">) {
  const question = { key: "issuing-ca", logs: ["ct-log"], ...completion };
  return await installation.ask(completeCertificate, question, "issuer");
}

function good(label: string, signatures: readonly Uint8Array[]): boolean {
  const verify = verifier(schemes["ecdsa-p256"], vault.keys[label] ?? new Uint8Array());
  return (
    signatures.length > 0 &&
    signatures.every((signature, index) =>
      verify(
        sctSignatureInput({ kind: "certificate", timestampMs, certificate: certificateOf(index) }),
        signature,
      ),
    )
  );
}

function health() {
  return installation.health()["hsm"] ?? { status: "ok" };
}

/** What the ledger says was made is what the device says it made, and every attempt has ended. */
async function expectLedgerCounts(): Promise<void> {
  await installation.dispose();
  const report = await fsckVault({ home: vault.home });
  expect(report.findings.filter(({ severity }) => severity === "broken")).toEqual([]);
  expect(report.findings.filter(({ message }) => /no outcome/.test(message))).toEqual([]);
  const recorded = Object.values(report.signatures).reduce((sum, count) => sum + count, 0);
  expect(recorded).toBe(faults.count() - countBefore);
}
