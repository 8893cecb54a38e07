/** RFC 3161 timestamps in bundles: each rule broken alone, every byte flipped, and the mistakes others have made (TC-V14, TC-V15). */
import { describe, expect, test } from "vitest";
import * as der from "../../core/formats/der.ts";
import { encodeHex } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { TrustedAuthority, TrustedRoot } from "../../core/formats/trusted-root.ts";
import { formatTimestampRejection } from "../../core/formats/tsp.ts";
import { extensionOids, keyPurposes } from "../../core/formats/x509.ts";
import { NotVerified } from "../../plugins/client/verify/not-verified.ts";
import { verifyTimestamps } from "../../plugins/client/verify/timestamps.ts";
import { softKey } from "../crypto/soft-authority.ts";
import {
  ownExtensions,
  purposes,
  type SoftTsa,
  softTsa,
  type TsaChanges,
} from "../support/soft-tsa.ts";
import { at, box, signed, start, verify } from "./box.ts";

const signature = new TextEncoder().encode("signature bytes");
const tsa = softTsa(at);

function trusting(
  certificates: readonly Uint8Array[],
  validFor: TrustedAuthority["validFor"] = { start, end: null },
): TrustedAuthority {
  return { organization: "t", commonName: "t", uri: "http://localhost", certificates, validFor };
}

function times(response: Uint8Array, by: SoftTsa = tsa): readonly Date[] {
  return verifyTimestamps([response], [trusting(by.chain)], signature);
}

describe("a timestamp", () => {
  test("verifies, and so does one whose authority comes along in it", () => {
    expect(times(tsa.stamp(signature, at))).toEqual([at]);
    const above = tsa.chain.slice(1);
    const withOwn = tsa.stamp(signature, at, { included: [] });
    expect(times(withOwn)).toEqual([at]);
    expect(verifyTimestamps([withOwn], [trusting(above)], signature)).toEqual([at]);
  });

  test("does not verify with one flipped bit anywhere", () => {
    const response = tsa.stamp(signature, at);
    for (const [index] of response.entries()) {
      const flipped = response.map((byte, where) => (where === index ? byte ^ 1 : byte));
      expect(() => times(flipped), `byte ${index} of ${encodeHex(response)}`).toThrow(
        expect.toSatisfy(
          (error) => error instanceof Malformed || error instanceof NotVerified,
        ) as Error,
      );
    }
  });

  test("does not verify cut short at any length, or with a byte behind it", () => {
    const response = tsa.stamp(signature, at);
    for (let length = 0; length < response.length; length += 7) {
      expect(() => times(response.subarray(0, length))).toThrow(Malformed);
    }
    expect(() => times(Uint8Array.of(...response, 0))).toThrow(Malformed);
  });
});

describe("a timestamp that is wrong in one thing", () => {
  test.for<[string, () => unknown, RegExp]>([
    ["of another signature", () => times(tsa.stamp(textBytes("x"), at)), /another signature/],
    [
      "of an unknown authority",
      () => times(softTsa(at).stamp(signature, at)),
      /not in the trusted/,
    ],
    ["by another key", () => times(tsa.stamp(signature, at, { key: softKey() })), /signature does/],
    [
      "bound to another certificate",
      () => times(tsa.stamp(signature, at, { boundTo: softTsa(at).chain[0] ?? textBytes("") })),
      /another certificate/,
    ],
    [
      "whose content is not what was signed (TC-V15)",
      () => times(tsa.stamp(signature, at, { tstInfo: later })),
      /content is not/,
    ],
    ["that was not granted", () => times(formatTimestampRejection("badAlg", "no")), /not granted/],
    ["of a time before the certificate", () => times(tsa.stamp(signature, days(-2))), /not valid/],
    ["of a time after the certificate", () => times(tsa.stamp(signature, days(2))), /not valid/],
    [
      "of a time when the authority was not in use",
      () => {
        const trusted = trusting(tsa.chain, { start, end: days(-0.1) });
        return verifyTimestamps([tsa.stamp(signature, at)], [trusted], signature);
      },
      /not in use/,
    ],
    [
      "whose root is another",
      () => {
        const mixed = [...tsa.chain.slice(0, 1), ...softTsa(at).chain.slice(1)];
        return verifyTimestamps([tsa.stamp(signature, at)], [trusting(mixed)], signature);
      },
      /chain does not hold/,
    ],
    [
      "beside a good one",
      () =>
        verifyTimestamps(
          [tsa.stamp(signature, at), softTsa(at).stamp(signature, at)],
          [trusting(tsa.chain)],
          signature,
        ),
      /not in the trusted/,
    ],
  ])("%s is refused", ([, attempt, reason]) => {
    expect(attempt).toThrow(reason);
  });
});

describe("a timestamp's signer", () => {
  test("is the one that signed, also with an attacker's certificate first in the bag (TC-V14)", () => {
    const [own = textBytes(""), ...above] = tsa.chain;
    // A SET is sorted: of several attackers some come before the signer.
    const attackers = Array.from({ length: 6 }, () => softTsa(at));
    for (const { chain } of attackers) {
      const included = chain.slice(0, 1);
      expect(times(tsa.stamp(signature, at, { included }))).toEqual([at]);
      const bagOnly = tsa.stamp(signature, at, { included });
      expect(verifyTimestamps([bagOnly], [trusting(above)], signature)).toEqual([at]);
    }
    const [attacker = tsa] = attackers;
    const forged = attacker.stamp(signature, at, { included: [own, ...attacker.chain] });
    expect(() => times(forged)).toThrow();
    expect(() => verifyTimestamps([forged], [trusting(above)], signature)).toThrow();
  });

  test("is one: two are refused (TC-V14)", () => {
    expect(() => times(withTwoSigners(tsa.stamp(signature, at)))).toThrow(/not one signer/);
  });

  test.for<[string, TsaChanges]>([
    ["for nothing in particular", { own: ownExtensions.slice(0, 1) }],
    ["for code signing", { own: [purposes(true, keyPurposes.codeSigning)] }],
    [
      "for two purposes",
      { own: [purposes(true, keyPurposes.timeStamping, keyPurposes.codeSigning)] },
    ],
    ["for timestamps, but not critically", { own: [purposes(false, keyPurposes.timeStamping)] }],
    ["below a CA for code signing", { caPurpose: keyPurposes.codeSigning }],
    [
      "with a key usage that does not sign",
      {
        own: [
          {
            oid: extensionOids.keyUsage,
            critical: true,
            value: der.bitString(Uint8Array.of(0x20), 5),
          },
          purposes(true, keyPurposes.timeStamping),
        ],
      },
    ],
    ["for another key", { publicKey: softKey().spki }],
  ])("is refused with a certificate %s", ([, changes]) => {
    const bad = softTsa(at, changes);
    expect(() => times(bad.stamp(signature, at), bad)).toThrow(NotVerified);
  });
});

describe("in a bundle", () => {
  const trustedRoot: TrustedRoot = {
    ...box.trustedRoot,
    timestampAuthorities: [trusting(tsa.chain)],
  };
  const timeless = () =>
    signed(box, { entry: (entry) => ({ ...entry, signedEntryTimestamp: null }) });

  test("it proves the time that the log does not", () => {
    const bundle = timeless();
    const timestamps = [tsa.stamp(bundle.content.signature, at)];
    expect(verify({ ...bundle, timestamps }, { trustedRoot }).times).toEqual([at]);
    expect(() => verify(bundle, { trustedRoot })).toThrow(/unproven/);
    expect(() => verify({ ...bundle, timestamps })).toThrow(/not in the trusted root/);
  });

  test("the certificate must have been valid at its time as well as at the log's", () => {
    const bundle = signed(box);
    const after = new Date(at.getTime() + 601_000);
    const timestamps = [tsa.stamp(bundle.content.signature, after)];
    expect(() => verify({ ...bundle, timestamps }, { trustedRoot })).toThrow(/was not valid/);
  });
});

function days(count: number): Date {
  return new Date(at.getTime() + count * 86_400_000);
}

function textBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The same TSTInfo a second later: the last digit before the Z of its time. */
function later(tstInfo: Uint8Array): Uint8Array {
  const z = tstInfo.indexOf("Z".charCodeAt(0));
  return tstInfo.map((byte, index) => (index === z - 1 ? byte + 1 : byte));
}

function withTwoSigners(response: Uint8Array): Uint8Array {
  const [status, token] = der.readDer(response).children();
  const [type, explicit] = token?.children() ?? [];
  const parts = explicit?.children()[0]?.children() ?? [];
  const [signer] = parts.at(-1)?.children() ?? [];
  const none = new Uint8Array();
  const again = signer?.encoded ?? none;
  const signedData = der.sequence(
    ...parts.slice(0, -1).map(({ encoded }) => encoded),
    der.setOf(again, again),
  );
  const content = der.sequence(type?.encoded ?? none, der.explicit(0, signedData));
  return der.sequence(status?.encoded ?? none, content);
}
