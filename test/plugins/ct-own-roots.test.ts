/** A CT log learns of the CA that takes over from one that is its own root: from the vault alone, and without being asked to often. */
import { describe, expect, test, vi } from "vitest";
import { formatName, keyPurposes } from "../../core/formats/x509.ts";
import { Failure } from "../../events/failure.ts";
import { authorityExtensions } from "../../hsm/ceremony/profiles.ts";
import { acceptChain, readTrust } from "../../plugins/ct/chain.ts";
import { againWithRoots, ownRoots, trustIn } from "../../plugins/ct/own-roots.ts";
import { certificate, codeSigning, softAuthority, softKey } from "../crypto/soft-authority.ts";

const now = new Date("2026-11-21T12:00:00Z");
const rules = { purposes: new Set([keyPurposes.codeSigning]), rejectExpired: false };

function ownRoot(
  commonName: string,
  {
    signer,
    fromMs = -1_000,
    toMs = 1e10,
  }: { signer?: ReturnType<typeof softKey>; fromMs?: number; toMs?: number } = {},
): Uint8Array {
  const key = softKey();
  const name = formatName({ commonName });
  return certificate(signer ?? key, "ecdsa-sha256", {
    notBefore: new Date(now.getTime() + fromMs),
    notAfter: new Date(now.getTime() + toMs),
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
  let passed = 0;
  const warn = vi.fn();
  const journal = { info: warn, warn, error: warn };
  const list = vi.fn(async () => await Promise.resolve({ certificates }));
  const clock = { now: () => new Date(now.getTime() + passed), steadyMs: () => steady };
  const look = ownRoots(trust, list, { rules, clock, journal });
  const pass = (ms: number): void => {
    steady += ms;
    passed += ms;
  };
  return { trust, list, look, warn, pass };
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
    const other = ownRoot("other", { signer: softKey() });
    const { trust, look, warn } = watching([first], [first, other, second]);
    await look(true);
    expect(certificatesOf(trust)).toEqual([first, second]);
    const why = "a signature in the chain does not verify";
    expect(warn).toHaveBeenCalledWith("ct.own-root-passed-over", expect.objectContaining({ why }));
  });

  test("is joined by those whose term it is: one that has ended is passed over, told once", async () => {
    const ended = ownRoot("ended", { fromMs: -2_000, toMs: -1_000 });
    const { trust, look, warn } = watching([first], [ended, first, second]);
    await look(true);
    await look(true);
    expect(certificatesOf(trust)).toEqual([first, second]);
    expect(warn).toHaveBeenCalledTimes(1);
  });

  test("is joined by one whose term has not begun as soon as it has", async () => {
    const later = ownRoot("later", { fromMs: 60_000 });
    const { trust, look, pass } = watching([first], [later, second]);
    await look(true);
    expect(certificatesOf(trust)).toEqual([first, second]);
    pass(60_000);
    await look(true);
    expect(certificatesOf(trust)).toEqual([first, second, later]);
  });
});

describe("a chain that the configuration names and that is not valid now", () => {
  const warn = vi.fn();
  const journal = { info: warn, warn, error: warn };
  const clock = { now: () => now };
  const ended = ownRoot("ended", { fromMs: -2_000, toMs: -1_000 });

  test("stops nobody, is named among the roots, and is told of", async () => {
    const later = ownRoot("later", { fromMs: 1_000 });
    const trust = trustIn([[ended], [first], [], [later]], { rules, clock, journal });
    expect(certificatesOf(trust)).toEqual([first, ended, later]);
    expect(warn.mock.calls).toEqual([
      [
        "ct.accepted-chain-not-valid-now",
        expect.objectContaining({ ends: new Date("2026-11-21T11:59:59Z") }),
      ],
      [
        "ct.accepted-chain-not-valid-now",
        expect.objectContaining({ begins: new Date("2026-11-21T12:00:01Z") }),
      ],
    ]);
    // What took over from the one that has ended is still looked for.
    const alone = trustIn([[ended]], { rules, clock, journal });
    const list = async () => await Promise.resolve({ certificates: [ended, second] });
    await ownRoots(alone, list, { rules, clock, journal })(true);
    expect(certificatesOf(alone)).toEqual([ended, second]);
  });

  test("has nothing taken below it, while what is below the others is", () => {
    const past = softAuthority(new Date(now.getTime() - 3 * 365 * 86_400_000));
    const present = softAuthority(now);
    const trust = trustIn([past.chain, present.chain], { rules, clock, journal });
    const submit = ({ issuing, chain }: typeof past) => {
      const leaf = certificate(issuing, "ecdsa-sha256", {
        notBefore: now,
        notAfter: now,
        issuer: issuing.name,
        subject: formatName({ commonName: "leaf" }),
        publicKey: softKey().spki,
        extensions: [codeSigning],
      });
      return acceptChain("certificate", [leaf, ...chain], trust, { ...rules, now });
    };
    expect(submit(present).notAfter).toEqual(now);
    expect(() => submit(past)).toThrow("a CA certificate is not valid now");
  });

  test("that holds at no time at all stops the start, like every chain that does not hold", () => {
    const bad = ownRoot("bad", { signer: softKey(), fromMs: -2_000, toMs: -1_000 });
    expect(() => trustIn([[bad], [first]], { rules, clock, journal })).toThrow("does not verify");
    const { issuing } = softAuthority(new Date(now.getTime() - 3 * 365 * 86_400_000));
    const { root } = softAuthority(now);
    expect(() => trustIn([[issuing.der, root.der]], { rules, clock, journal })).toThrow();
  });
});

describe("while the vault is away", () => {
  const away = new Failure("key-unavailable", "the vault is away");
  const bad = new Failure("chain-rejected", "the chain does not lead to an accepted root");
  const judge = (): never => {
    throw bad;
  };

  test("strangers go on with what is known, and it is told", async () => {
    const { trust, list, look, warn } = watching([first], [first, second]);
    list.mockRejectedValueOnce(away);
    await look(false);
    expect(certificatesOf(trust)).toEqual([first]);
    expect(warn).toHaveBeenCalledWith("ct.own-roots-not-looked-for", { error: away });
  });

  test("strangers do not wait for it long", async () => {
    const { list, look, warn } = watching([first], [first, second]);
    list.mockReturnValueOnce(Promise.withResolvers<never>().promise);
    await look(false);
    const error: unknown = expect.objectContaining({ code: "deadline-exceeded" });
    expect(warn).toHaveBeenCalledWith("ct.own-roots-not-looked-for", { error });
  });

  test.for([
    ["somebody", bad],
    ["issuer", away],
  ] as const)("a bad chain of %s is answered with what there is to say", async ([from, said]) => {
    const { trust, list, look } = watching([first], [first, second]);
    list.mockRejectedValueOnce(away);
    await expect(againWithRoots(judge, { trust, look, from })).rejects.toBe(said);
  });
});

test("below an offline root nobody is asked, and nothing joins", async () => {
  const { chain, root } = softAuthority(now);
  const { trust, list, look } = watching(chain, [second]);
  await look(true);
  expect(list).not.toHaveBeenCalled();
  expect(certificatesOf(trust)).toEqual([root.der]);
});
