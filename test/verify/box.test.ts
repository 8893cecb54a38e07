/** Each rule of verification, broken alone by somebody who holds all keys but cannot change the trusted root. */
import { describe, expect, test } from "vitest";
import type { LogEntry } from "../../core/formats/bundle-entry.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { keyPurposes } from "../../core/formats/x509.ts";
import { matching } from "../../plugins/client/verify/identity.ts";
import { boxKey, caExtensions, sigstoreBox, type Spoil } from "../support/sigstore-box.ts";
import { at, box, policy, signed, start, verify } from "./box.ts";

describe("a message signature", () => {
  test("verifies", () => {
    expect(verify(signed(box))).toEqual({
      identity: { subjectAltName: "alice@example.com", oidcIssuer: "http://localhost/oidc" },
      times: [at],
      indices: [7n],
    });
  });

  test("does not verify for other bytes", () => {
    expect(() => verify(signed(box), { bytes: encodeUtf8("other\n") })).toThrow(/artifact/);
  });

  test("of another instance does not verify", () => {
    expect(() => verify(signed(sigstoreBox(start)))).toThrow(/does not know/);
  });
});

describe("the certificate", () => {
  const seconds = (n: number) => new Date(at.getTime() + n * 1000);
  test.for([
    ["first second", seconds(0), true],
    ["last second", seconds(600), true],
    ["a second before", seconds(-1), false],
    ["a second after", seconds(601), false],
  ] as const)("logged in the %s of its validity", ([, time, ok]) => {
    const attempt = () => verify(signed(box, {}, time));
    if (ok) expect(attempt).not.toThrow();
    else expect(attempt).toThrow("not valid when the signature was made");
  });

  test("by a key that only has the authority's name is refused", () => {
    expect(() => verify(signed(box, { caKey: boxKey() }))).toThrow(
      "signature is not the authority's",
    );
  });

  test.for([
    ["expired authority", { notAfter: new Date("2026-05-01T00:00:00Z") }],
    ["authority for something else", { extensions: caExtensions(0, keyPurposes.timeStamping) }],
    ["authority that is none", { extensions: caExtensions(0).slice(0, 2) }],
    [
      "authority with an unknown critical extension",
      {
        extensions: [
          ...caExtensions(0),
          { oid: "1.2.3.4", critical: true, value: Uint8Array.of(5, 0) },
        ],
      },
    ],
  ] as const)("of an %s is refused", ([, ca]) => {
    const other = sigstoreBox(start, ca);
    expect(() => verify(signed(other), { trustedRoot: other.trustedRoot })).toThrow(
      /authority|critical/,
    );
  });

  test("of an authority that is not in use yet is refused, on its first day accepted", () => {
    const later = sigstoreBox(at);
    expect(() => verify(signed(later), { trustedRoot: later.trustedRoot })).not.toThrow();
    const [authority] = later.trustedRoot.certificateAuthorities;
    if (authority === undefined) throw new Error("no authority");
    const validFor = { start: seconds(1), end: null };
    const trustedRoot = {
      ...later.trustedRoot,
      certificateAuthorities: [{ ...authority, validFor }],
    };
    expect(() => verify(signed(later), { trustedRoot })).toThrow("no authority for the time");
  });
});

describe("the SCT", () => {
  test.for<[string, Spoil, RegExp]>([
    ["is missing", { withoutScts: true }, /not logged/],
    [
      "is for another time",
      { scts: ([sct]) => [{ ...present(sct), timestampMs: 1n }] },
      /key was not in use/,
    ],
    [
      "is for another moment",
      { scts: ([sct]) => [{ ...present(sct), timestampMs: present(sct).timestampMs + 1n }] },
      /does not verify/,
    ],
    [
      "is of an unknown log",
      { scts: ([sct]) => [{ ...present(sct), logId: new Uint8Array(32) }] },
      /does not know/,
    ],
    [
      "has a bad one beside it",
      {
        scts: ([sct]) => [
          present(sct),
          { ...present(sct), timestampMs: present(sct).timestampMs + 1n },
        ],
      },
      /does not verify/,
    ],
    [
      "is from before the log",
      { scts: (_, again) => [again(BigInt(start.getTime()) - 1n)] },
      /key was not in use/,
    ],
  ])("%s", ([, spoil, reason]) => {
    expect(() => verify(signed(box, spoil))).toThrow(reason);
  });
});

describe("the log entry", () => {
  const entryCases: [string, (entry: LogEntry) => LogEntry, RegExp][] = [
    [
      "without promise proves no time",
      (entry) => ({ ...entry, signedEntryTimestamp: null }),
      /time of signing is unproven/,
    ],
    [
      "with another time",
      (entry) => ({ ...entry, integratedTimeSeconds: entry.integratedTimeSeconds + 1n }),
      /signed entry timestamp/,
    ],
    ["with another index", (entry) => ({ ...entry, index: 8n }), /signed entry timestamp/],
    ["of a kind nobody knows", (entry) => ({ ...entry, kind: "rekord" }), /another kind/],
    ["of a version nobody knows", (entry) => ({ ...entry, kindVersion: "0.0.9" }), /another kind/],
  ];
  test.for(entryCases)("%s", ([, entry, reason]) => {
    expect(() => verify(signed(box, { entry }))).toThrow(reason);
  });

  test.for([
    ["0.0.2", "for something else"],
    ["0.0.9", "not supported"],
  ] as const)("whose body and version say %s fails closed", ([kindVersion, reason]) => {
    const body = encodeUtf8(`{"apiVersion":"${kindVersion}","kind":"hashedrekord","spec":{}}`);
    const entry = () => ({ ...box.log(body, "hashedrekord", at), kindVersion });
    expect(() => verify(signed(box, { entry }))).toThrow(reason);
  });

  test("is needed", () => {
    expect(() => verify({ ...signed(box), entries: [] })).toThrow("0 transparency logs, 1 needed");
  });

  test("for the same signature of another certificate is refused", () => {
    const [one, other] = [signed(box), signed(box)];
    expect(() => verify({ ...one, signer: other.signer })).toThrow("signature or certificate");
  });

  test("beside a timestamp that is none fails closed", () => {
    expect(() => verify({ ...signed(box), timestamps: [Uint8Array.of(1)] })).toThrow("der");
  });
});

describe("the identity", () => {
  test.for([
    ["alice@example\\.com", true],
    [".*@example\\.com", true],
    ["alice", false],
    ["example\\.com", false],
    ["alice@example.co", false],
    ["mallory|alice", false],
  ] as const)("matches %s as a whole or not: %s", ([source, ok]) => {
    const attempt = () =>
      verify(signed(box), { demand: { ...policy, identity: matching(source) } });
    if (ok) expect(attempt).not.toThrow();
    else expect(attempt).toThrow("not who was demanded");
  });

  test("cannot be freed from its anchors", () => {
    expect(() => matching("x)|(?:.*")).toThrow(SyntaxError);
  });
});

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("missing");
  return value;
}
