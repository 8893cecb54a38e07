/** Everything a bundle says, changed one thing at a time: nothing may verify any more. */
import { describe, expect, test } from "vitest";
import { decodeBase64, encodeBase64 } from "../../core/formats/encoding.ts";
import { artifactKnownBy } from "../../plugins/client/verify/artifact.ts";
import { type Case, cases, verifyCase } from "./public-good.ts";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const named = Object.entries<Case>(cases);

/** Fields that are hints: changing them may not make a bundle verify that did not, and nothing else hangs on them. */
const unsigned = new Set([
  // The other certificates of old chains are never used.
  /^verificationMaterial\.x509CertificateChain\.certificates\.[1-9]/,
  // DSSE does not sign the key's name.
  /^dsseEnvelope\.signatures\.0\.keyid$/,
]);

describe.for(named)("a changed bundle does not verify: %s", ([, theCase]) => {
  const bundle = JSON.parse(theCase.bundle) as Json;
  const leaves = [...leavesOf(bundle)].filter(
    ([path]) => ![...unsigned].some((one) => one.test(path)),
  );

  test("there is something to change", () => {
    expect(leaves.length).toBeGreaterThan(10);
  });

  test.for(leaves)("%s", ([path, value]) => {
    const mutants = mutantsOf(value).filter((mutant) => mutant !== value);
    expect(mutants.length).toBeGreaterThan(0);
    for (const mutant of mutants) {
      const changed = JSON.stringify(replaced(bundle, path.split("."), mutant));
      expect(() => verifyCase({ ...theCase, bundle: changed }), `${path} = ${mutant}`).toThrow();
    }
  });

  const members = [...membersOf(bundle)].filter(
    ([path]) =>
      !optional.some((one) => one.test(path)) && ![...unsigned].some((one) => one.test(path)),
  );
  test.for(members)("without %s", ([path]) => {
    const changed = JSON.stringify(replaced(bundle, path.split("."), undefined));
    expect(() => verifyCase({ ...theCase, bundle: changed })).toThrow();
  });

  test.for([
    "unknown",
    "verificationMaterial.unknown",
    "verificationMaterial.tlogEntries.0.unknown",
    "verificationMaterial.tlogEntries.0.logId.unknown",
    "verificationMaterial.tlogEntries.0.kindVersion.unknown",
    "verificationMaterial.tlogEntries.0.inclusionPromise.unknown",
  ])("with a field nobody knows: %s", (path) => {
    const changed = JSON.stringify(replaced(bundle, path.split("."), 1));
    expect(() => verifyCase({ ...theCase, bundle: changed })).toThrow("unknown field");
  });

  test.for([
    ["another identity", { identity: "mallory@example.com" }],
    ["an identity that is a prefix", { identity: theCase.identity.slice(0, -1) }],
    ["an identity with more behind", { identity: `${theCase.identity}x` }],
    ["another case", { identity: theCase.identity.toUpperCase() }],
    ["another issuer", { oidcIssuer: "https://accounts.example.com" }],
    ["an issuer with a slash", { oidcIssuer: `${theCase.oidcIssuer}/` }],
    [
      "another artifact",
      {
        artifact: artifactKnownBy({
          sha256: new Uint8Array(32),
          sha384: new Uint8Array(48),
          sha512: new Uint8Array(64),
        }),
      },
    ],
  ] as const)("for %s", ([, change]) => {
    expect(() => verifyCase({ ...theCase, ...change })).toThrow();
  });
});

describe("evidence of one bundle in another", () => {
  const pairs = named.flatMap(([a, one]) =>
    named.filter(([b]) => a !== b).map(([b, other]) => [a, b, one, other] as const),
  );

  test.for(pairs)("the log entry of %s + %s", ([, , one, other]) => {
    const bundle = JSON.parse(one.bundle) as Bundle;
    const donor = JSON.parse(other.bundle) as Bundle;
    bundle.verificationMaterial["tlogEntries"] = donor.verificationMaterial["tlogEntries"] ?? null;
    expect(() => verifyCase({ ...one, bundle: JSON.stringify(bundle) })).toThrow();
  });

  test.for(pairs)("the certificate of %s + %s", ([, , one, other]) => {
    const bundle = JSON.parse(one.bundle) as Bundle;
    const donor = JSON.parse(other.bundle) as Bundle;
    delete bundle.verificationMaterial["certificate"];
    delete bundle.verificationMaterial["x509CertificateChain"];
    for (const name of ["certificate", "x509CertificateChain"]) {
      const value = donor.verificationMaterial[name];
      if (value !== undefined) bundle.verificationMaterial[name] = value;
    }
    expect(() => verifyCase({ ...one, bundle: JSON.stringify(bundle) })).toThrow();
  });

  test.for(pairs)("both entries in one bundle of %s + %s", ([, , one, other]) => {
    const bundle = JSON.parse(one.bundle) as Bundle;
    const donor = JSON.parse(other.bundle) as Bundle;
    bundle.verificationMaterial["tlogEntries"] = [
      ...(bundle.verificationMaterial["tlogEntries"] as Json[]),
      ...(donor.verificationMaterial["tlogEntries"] as Json[]),
    ];
    expect(() => verifyCase({ ...one, bundle: JSON.stringify(bundle) })).toThrow();
  });
});

describe("a trusted root that does not know this", () => {
  test.for(named)("%s", ([, theCase]) => {
    const root = JSON.parse(theCase.trustedRoot) as { [name: string]: Json };
    for (const list of ["tlogs", "certificateAuthorities", "ctlogs"]) {
      const without = JSON.stringify({ ...root, [list]: [] });
      expect(() => verifyCase({ ...theCase, trustedRoot: without }), list).toThrow();
    }
  });

  test.for(named)("as in use at the time: %s", ([, theCase]) => {
    for (const list of ["tlogs", "certificateAuthorities", "ctlogs"]) {
      for (const validFor of [
        { start: "2021-01-01T00:00:00Z", end: "2021-02-01T00:00:00Z" },
        { start: "2100-01-01T00:00:00Z" },
      ]) {
        const root = JSON.parse(theCase.trustedRoot) as { [name: string]: Trusted[] };
        for (const one of root[list] ?? []) (one.publicKey ?? one).validFor = validFor;
        const changed = JSON.stringify(root);
        expect(() => verifyCase({ ...theCase, trustedRoot: changed }), list).toThrow(
          /in use|authority/,
        );
      }
    }
  });
});

type Trusted = { validFor?: Json; publicKey?: { validFor: Json } };
type Bundle = { verificationMaterial: { [name: string]: Json } };

/** Members that a bundle may lack; the tests of the format say which. */
const optional = [
  /^verificationMaterial\.timestampVerificationData/,
  /\.keyid$/,
  /\.messageDigest$/,
  /\.inclusionPromise$/,
  /\.inclusionProof$/,
];

function* leavesOf(value: Json, path = ""): Iterable<[string, string]> {
  if (typeof value === "string") yield [path, value];
  if (value === null || typeof value !== "object") return;
  for (const [name, member] of Object.entries(value)) {
    yield* leavesOf(member, path === "" ? name : `${path}.${name}`);
  }
}

function* membersOf(value: Json, path = ""): Iterable<[string]> {
  if (path !== "") yield [path];
  if (value === null || typeof value !== "object") return;
  for (const [name, member] of Object.entries(value)) {
    yield* membersOf(member, path === "" ? name : `${path}.${name}`);
  }
}

function replaced(value: Json, [name = "", ...rest]: string[], by: Json | undefined): Json {
  const copy = structuredClone(value) as { [name: string]: Json };
  if (rest.length > 0) copy[name] = replaced(copy[name] ?? null, rest, by);
  else if (by !== undefined) copy[name] = by;
  else if (Array.isArray(copy)) copy.splice(Number(name), 1);
  else delete copy[name];
  return copy;
}

/** Bytes with a bit changed at several places, other numbers, other texts. */
function mutantsOf(text: string): string[] {
  if (/^\d+$/.test(text)) {
    return [String(BigInt(text) + 1n), `-${text}`, `0${text}`, "9223372036854775808"];
  }
  const bytes = bytesOf(text);
  if (bytes === null) return [`${text}x`, text.slice(1), "", text.replace(/[a-z]/, "!")];
  const places = [0, 1, bytes.length >> 2, bytes.length >> 1, bytes.length - 1];
  const flipped = places.map((place) =>
    encodeBase64(bytes.map((byte, at) => (at === place ? byte ^ 1 : byte))),
  );
  return [...flipped, encodeBase64(bytes.slice(0, -1)), `${text}\n`, ""];
}

function bytesOf(text: string): Uint8Array | null {
  if (text.length < 16) return null;
  try {
    return decodeBase64(text);
  } catch {
    return null;
  }
}
