/** A timestamp authority on a real vault, with a clock that a test can set. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "../../core/crypto/hash.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { formatTimestampRequest } from "../../core/formats/tsp.ts";
import type { AnswerOf } from "../../events/contract.ts";
import { createTimestamp } from "../../events/timestamp.ts";
import plugin from "../../plugins/timestamp/plugin.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import { softTsa, type TsaChanges } from "../support/soft-tsa.ts";
import { type SoftKey, type SoftVault, softVault } from "../support/vault.ts";

/** The only policy. */
export const policy = "1.3.6.1.4.1.57264.2";
/** What is stamped unless something else is. */
export const imprint = sha256(encodeUtf8("signature bytes"));

/** A key of an authority whose certificate is good but for `changes`. */
export function tsaKey(
  label: string,
  changes: TsaChanges = {},
  key: Partial<SoftKey> = {},
): SoftKey {
  return {
    label,
    purposes: ["timestamp"],
    askers: ["timestamp"],
    policy,
    chain: (publicKey) => softTsa(new Date(), { publicKey, ...changes }).chain,
    ...key,
  };
}

/** A request in DER. */
export function query(
  change: Partial<Parameters<typeof formatTimestampRequest>[0]> = {},
): Uint8Array {
  return formatTimestampRequest({
    hashAlgorithm: "sha256",
    messageImprint: imprint,
    policy: null,
    nonce: null,
    certReq: false,
    ...change,
  });
}

/** A vault and, one after the other, the installations on it. */
export class TimestampHouse {
  /** What a test may change while it runs. */
  readonly clock = { offsetMs: 0, now: (): Date => new Date(Date.now() + this.clock.offsetMs) };
  readonly vault: SoftVault;

  private constructor(vault: SoftVault) {
    this.vault = vault;
  }

  static async create(keys: readonly SoftKey[]): Promise<TimestampHouse> {
    const vault = await softVault({ keys });
    mkdirSync(join(vault.home, "run"), { recursive: true });
    return new TimestampHouse(vault);
  }

  /** Boots with this configuration of the authority. */
  async boot(timestamp: object): Promise<TestInstallation> {
    const { entry, config, home, pin } = this.vault;
    return await bootForTest({
      entries: [entry, plugin],
      config: { hsm: config, timestamp },
      home,
      pin,
      clock: this.clock,
    });
  }
}

/** Asks in DER. */
export async function asked(
  house: TestInstallation,
  request = query(),
): Promise<AnswerOf<typeof createTimestamp>> {
  return await house.ask(createTimestamp, { form: "query", request });
}
