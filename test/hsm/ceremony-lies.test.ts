/** A transcript that lies and is sealed all the same: whoever holds the sealing key cannot make verification believe what does not fit. */
import { generateKeyPairSync, hash, type KeyObject, sign } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { runCeremony } from "../../hsm/ceremony/run.ts";
import { sealedBytes, type TranscriptLine } from "../../hsm/ceremony/transcript.ts";
import { verifyTranscript } from "../../hsm/commands.ts";
import { ceremonyHome, type CeremonyHome } from "../support/ceremony.ts";

type Detail = TranscriptLine["detail"];

const script = `
ceremony: small
version: 1
transcriptKey: transcript
parameters: [organization]
steps:
  - { step: initialiseToken, token: offline, label: small-offline, pinFile: secrets/offline-pin }
  - { step: generateKey, token: offline, label: transcript, algorithm: ecdsa-p256 }
  - { step: generateKey, token: offline, label: root-ca, algorithm: ecdsa-p384 }
  - { step: generateKey, token: offline, label: tuf-root, algorithm: ecdsa-p256 }
  - step: rootCertificate
    key: root-ca
    organization: one
    commonName: root
    years: 20
    out: trust/root.pem
  - step: tufRepository
    rootKey: tuf-root
    targetsKey: tuf-root
    snapshotKey: tuf-root
    timestampKey: tuf-root
    days: 30
    uri: http://localhost
    targets: [{ name: transcript.pub, from: { publicKey: transcript } }]
    out: trust/tuf
    rootCopyOut: trust/1.root.json
  - step: tufRoot
    before: { file: trust/tuf/1.root.json, sha256: HASH }
    signedBy: [tuf-root]
    days: 60
    out: trust/roots/2.root.json
`;

let at: CeremonyHome;
let lines: readonly TranscriptLine[];
const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const forger = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));

beforeAll(async () => {
  at = ceremonyHome(script);
  // A rehearsal pins no hash, and its record is as good as any.
  const { transcript } = await runCeremony(at.request, "rehearse");
  ({ lines } = verifyTranscript(at.read(transcript.slice(at.home.length + 1))));
});
afterAll(() => at[Symbol.dispose]());

/** Chained and sealed anew by the forger, in the place of the ceremony's own key. */
function sealed(change: (what: string, detail: Detail) => Detail | null): string {
  const told = lines.flatMap((line) => {
    const detail = change(line.what, owned(line));
    return detail === null ? [] : [{ ...line, detail }];
  });
  let previous = "0".repeat(64);
  const texts = told.map(({ at: when, what, detail }, index) => {
    const next = { sequence: index + 1, at: when, what, detail, previous };
    const text = JSON.stringify(what === "seal" ? signed(next, privateKey) : next);
    previous = hash("sha256", encodeUtf8(text), "hex");
    return text;
  });
  return `${texts.join("\n")}\n`;
}

function owned({ what, detail }: TranscriptLine): Detail {
  if (what !== "key" || detail["label"] !== "transcript") return detail;
  const publicKeySha256 = hash("sha256", forger, "hex");
  return { ...detail, publicKey: forger.toBase64(), publicKeySha256 };
}

function signed(line: Omit<TranscriptLine, "signature">, key: KeyObject): TranscriptLine {
  return { ...line, signature: sign("sha256", sealedBytes(line), key).toString("base64") };
}

/** Changes the lines that say `wanted`, of one key if that is given. */
const lie =
  (wanted: string, change: (detail: Detail) => Detail | null, label?: string) =>
  (what: string, detail: Detail): Detail | null =>
    what === wanted && (label === undefined || detail["label"] === label) ? change(detail) : detail;

const decoded = (value: unknown) => Buffer.from(String(value), "base64");
const flip = (value: unknown, index: number): string => {
  const bytes = decoded(value);
  const place = index < 0 ? bytes.length + index : index;
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  return bytes.toString("base64");
};

test("the forger's seal alone is as good as any, unless one knows the right key", () => {
  const text = sealed((_, detail) => detail);
  expect(() => verifyTranscript(text)).not.toThrow();
  const own = lines.find(({ what }) => what === "key")?.detail["publicKey"];
  expect(() => verifyTranscript(text, { transcriptKey: new Uint8Array(decoded(own)) })).toThrow(
    /another key/,
  );
});

test.for([
  [
    "a key's hash",
    lie("key", (detail) => ({ ...detail, publicKeySha256: "00".repeat(32) }), "root-ca"),
    /a hash that is not its own/,
  ],
  [
    "another key in a key's place",
    lie(
      "key",
      (detail) => ({
        ...detail,
        publicKey: forger.toBase64(),
        publicKeySha256: hash("sha256", forger, "hex"),
      }),
      "tuf-root",
    ),
    /does not verify/,
  ],
  ["a key that is not told of", lie("key", () => null, "root-ca"), /./],
  [
    "a signature",
    lie("signed", (detail) => ({ ...detail, signature: flip(detail["signature"], -1) })),
    /signature that does not verify/,
  ],
  [
    "what was signed",
    lie("signing", (detail) => ({ ...detail, digest: "00".repeat(32) })),
    /signature that does not verify/,
  ],
  [
    "a certificate's bytes",
    lie("certificate", (detail) => ({ ...detail, der: flip(detail["der"], 200) })),
    /./,
  ],
  [
    "a certificate's hash",
    lie("certificate", (detail) => ({ ...detail, sha256: "00".repeat(32) })),
    /certificate of "root-ca" that does not verify/,
  ],
  [
    "a certificate's kind",
    lie("certificate", (detail) => ({ ...detail, kind: "issuing" })),
    /breaks/,
  ],
  [
    "what was linted",
    lie("linted", (detail) => ({ ...detail, tbsSha256: "00".repeat(32) })),
    /does not verify/,
  ],
  [
    "an object that was there before",
    lie("inventory before", (detail) => ({ ...detail, objects: ["private key hidden 00"] })),
    /neither found nor made/,
  ],
  [
    "an object that nobody made",
    lie("inventory after", (detail) => ({
      ...detail,
      objects: [...(detail["objects"] as string[]), "private key hidden 00"],
    })),
    /neither found nor made/,
  ],
  ["an inventory that is left out", lie("inventory after", () => null), /neither found nor made/],
  [
    "a step that is left out",
    lie("step", (detail) => (detail["number"] === 3 ? null : detail)),
    /every step/,
  ],
  [
    "a check that is left out",
    lie("checked", (detail) => (detail["number"] === 3 ? null : detail)),
    /every step/,
  ],
  [
    "a TUF root's threshold",
    lie("TUF root", (detail) => ({ ...detail, threshold: 2 })),
    /is not what it says/,
  ],
  [
    "a TUF root's keys",
    lie("TUF root", (detail) => ({ ...detail, keyids: [] })),
    /is not what it says/,
  ],
  [
    "a TUF root's end",
    lie("TUF root", (detail) => ({ ...detail, expires: "2030-01-01T00:00:00.000Z" })),
    /is not what it says/,
  ],
  [
    "a TUF root that was not written",
    lie("wrote", (detail) => (String(detail["path"]).endsWith("2.root.json") ? null : detail)),
    /is not what it says/,
  ],
  [
    "the root before a TUF root",
    lie("TUF root", (detail) => ({ ...detail, before: detail["file"] })),
    /not the next one/,
  ],
] as const)("sealed anew, it does not verify with a lie about %s", ([, change, why]) => {
  const text = sealed(change);
  expect(text).not.toBe(sealed((_, detail) => detail));
  expect(() => verifyTranscript(text)).toThrow(why);
});
