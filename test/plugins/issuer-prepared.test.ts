import { expect, test } from "vitest";
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import { unpoison, withoutPoison, withoutSctList } from "../../core/formats/leaf-profile.ts";
import {
  digitallySigned,
  formatSctList,
  type Sct,
  sctSignatureInput,
} from "../../core/formats/sct.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { type Authority, readAuthority } from "../../plugins/issuer/authority.ts";
import { prepareLeaf } from "../../plugins/issuer/prepared.ts";
import { softAuthority, softKey, softSign } from "../crypto/soft-authority.ts";
import { principal } from "./issuer-rooms.ts";

const now = new Date("2026-11-21T12:00:00Z");
const soft = softAuthority(now);
const logKey = softKey();
const described = { algorithm: "ecdsa-p256" as const, purposes: [] };
const issuing = { ...described, publicKey: soft.issuing.spki, chain: [...soft.chain] };
const log = { ...described, publicKey: logKey.spki };
const authority: Authority = readAuthority("issuing-ca", issuing, log);

function prepare(by = authority) {
  return prepareLeaf(
    {
      principal,
      key: importPublicKey(softKey().spki),
      serial: new Uint8Array(20).fill(0x41),
      notBefore: now,
      notAfter: new Date(now.getTime() + 600_000),
    },
    by,
  );
}

/** A precertificate with its signature, and the SCT a good log would give. */
function signed(change: Partial<Sct> = {}, by = authority) {
  const prepared = prepare(by);
  const tbs = prepared.redeem();
  const timestampMs = change.timestampMs ?? BigInt(now.getTime());
  const input = sctSignatureInput({
    kind: "precertificate",
    timestampMs,
    issuerKeyHash: sha256(soft.issuing.spki),
    tbs: withoutPoison(tbs),
    ...(change.extensions && { extensions: change.extensions }),
  });
  const good: Sct = {
    logId: sha256(logKey.spki),
    timestampMs,
    extensions: new Uint8Array(),
    signature: digitallySigned(softSign(logKey, input)),
  };
  const sct: Sct = { ...good, ...change };
  const scts = formatSctList([good]);
  const completed = { scts, signature: softSign(soft.issuing, unpoison(tbs).listing(scts)) };
  return { sct, completed, precertificate: prepared.signed(softSign(soft.issuing, tbs)) };
}

test("what is prepared is redeemed once", () => {
  const prepared = prepare();
  prepared.redeem();
  expect(() => prepared.redeem()).toThrow("redeemed twice");
});

test("a precertificate becomes one certificate", () => {
  const { sct, completed, precertificate } = signed();
  expect(precertificate.redeem()).toHaveLength(32);
  expect(() => precertificate.redeem()).toThrow("redeemed twice");
  const { tbs } = parseCertificate(precertificate.completed(completed, sct, now));
  expect(withoutSctList(tbs)).toEqual(withoutPoison(parseCertificate(precertificate.der).tbs));
  expect(() => precertificate.completed(completed, sct, now)).toThrow("redeemed twice");
});

test("a signature by another key does not make a certificate", () => {
  const { sct, completed, precertificate } = signed();
  const signature = softSign(softKey(), parseCertificate(precertificate.der).tbs);
  expect(() => precertificate.completed({ ...completed, signature }, sct, now)).toThrow(
    expect.objectContaining({ code: "key-unavailable" }),
  );
});

test("another SCT than the log answered does not make a certificate", () => {
  const { sct, precertificate } = signed();
  const { completed } = signed();
  expect(() => precertificate.completed(completed, sct, now)).toThrow("another SCT");
});

const ms = BigInt(now.getTime());
test.each<[string, Partial<Sct>]>([
  ["extensions, even well signed ones", { extensions: new Uint8Array(65_535) }],
  ["another log's id", { logId: new Uint8Array(32) }],
  ["a time 10,001 ms ahead", { timestampMs: ms + 10_001n }],
  ["a time 30,001 ms ago", { timestampMs: ms - 30_001n }],
  ["a signature with trailing bytes", { signature: new Uint8Array(80) }],
  ["no signature", { signature: Uint8Array.of(4, 3, 0, 0) }],
])("an SCT with %s is refused", (_, change) => {
  const { sct, completed, precertificate } = signed(change);
  expect(() => precertificate.completed(completed, sct, now)).toThrow(
    expect.objectContaining({ code: "log-unavailable" }),
  );
});

test.each([ms + 10_000n, ms - 30_000n])("an SCT of %d is near enough", (timestampMs) => {
  const { sct, completed, precertificate } = signed({ timestampMs });
  expect(precertificate.completed(completed, sct, now)).toBeInstanceOf(Uint8Array);
});

test("with several logs, the SCT is verified with the key of the one that it names", () => {
  const others = [softKey(), softKey()].map(({ spki }) => ({ ...described, publicKey: spki }));
  const [first, last] = others;
  if (!first || !last) throw new TypeError("two keys were made");
  const { sct, completed, precertificate } = signed(
    {},
    readAuthority("issuing-ca", issuing, first, log, last),
  );
  expect(precertificate.completed(completed, sct, now)).toBeInstanceOf(Uint8Array);
  const again = signed({}, readAuthority("issuing-ca", issuing, first, log, last));
  const lying = { ...again.sct, logId: sha256(last.publicKey) };
  expect(() => again.precertificate.completed(again.completed, lying, now)).toThrow(
    "does not verify",
  );
});

const foreign = softAuthority(now);
test.each([
  ["no chain", { ...described, publicKey: soft.issuing.spki }],
  ["a chain for another key", { ...issuing, chain: [...foreign.chain] }],
  [
    "a chain that does not hold together",
    { ...issuing, chain: [soft.issuing.der, foreign.root.der] },
  ],
  ["a chain without its root", { ...issuing, chain: [soft.issuing.der] }],
  ["no subject key identifier", bare()],
])("an issuing key with %s is not used", (_, answer) => {
  expect(() => readAuthority("issuing-ca", answer, log)).toThrow(
    expect.objectContaining({ code: "key-unavailable" }),
  );
});

function bare() {
  const authorityWithoutId = softAuthority(now, { extensions: [] });
  const { issuing: own, chain } = authorityWithoutId;
  return { ...described, publicKey: own.spki, chain: [...chain] };
}
