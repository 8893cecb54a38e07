/** A CT log learns of the CA that takes over from one that is its own root: from the vault alone, and without being asked to often. */
import { describe, expect, test, vi } from "vitest";
import { formatName, keyPurposes } from "../../core/formats/x509.ts";
import { authorityExtensions } from "../../hsm/ceremony/profiles.ts";
import { readTrust } from "../../plugins/ct/chain.ts";
import { ownRoots } from "../../plugins/ct/own-roots.ts";
import { certificate, softAuthority, softKey } from "../crypto/soft-authority.ts";

const now = new Date("2026-11-21T12:00:00Z");
const rules = { purposes: new Set([keyPurposes.codeSigning]), rejectExpired: false };

function ownRoot(commonName: string, signer?: ReturnType<typeof softKey>): Uint8Array {
  const key = softKey();
  const name = formatName({ commonName });
  return certificate(signer ?? key, "ecdsa-sha256", {
    notBefore: new Date(now.getTime() - 1_000),
    notAfter: new Date(now.getTime() + 1e10),
    issuer: name,
    subject: name,
    publicKey: key.spki,
    extensions: [...authorityExtensions("single", { subject: key.spki, issuer: key.spki })],
  });
}

const first = ownRoot("first");
const second = ownRoot("second");

function watching(chain: readonly Uint8Array[], certificates: readonly Uint8Array[]) {
  const trust = readTrust([chain], { ...rules, now });
  let steady = 0;
  const list = vi.fn(async () => await Promise.resolve({ certificates }));
  const clock = { now: () => now, steadyMs: () => steady };
  const look = ownRoots(trust, list, { rules, clock });
  return { trust, list, look, pass: (ms: number) => (steady += ms) };
}

const certificatesOf = ({ roots }: ReturnType<typeof readTrust>) =>
  roots.map(({ certificate: { der } }) => der);

describe("a CA that is its own root", () => {
  test("is joined by the one that takes over, once", async () => {
    const { trust, look } = watching([first], [first, second]);
    await Promise.all([look(true), look(true), look(true)]);
    expect(certificatesOf(trust)).toEqual([first, second]);
    expect(trust.chains).toHaveLength(2);
  });

  test("strangers have the vault asked once a second at most, the issuer whenever it must be", async () => {
    const { list, look, pass } = watching([first], [first]);
    for (const ms of [0, 999, 1]) {
      pass(ms);
      await look(false);
    }
    expect(list).toHaveBeenCalledTimes(2);
    await look(true);
    expect(list).toHaveBeenCalledTimes(3);
  });

  test("is not joined by one that did not sign itself", async () => {
    const { trust, look } = watching([first], [first, ownRoot("other", softKey())]);
    await expect(look(true)).rejects.toThrow("a signature in the chain does not verify");
    expect(certificatesOf(trust)).toEqual([first]);
  });
});

test("below an offline root nobody is asked, and nothing joins", async () => {
  const { chain, root } = softAuthority(now);
  const { trust, list, look } = watching(chain, [second]);
  await look(true);
  expect(list).not.toHaveBeenCalled();
  expect(certificatesOf(trust)).toEqual([root.der]);
});
