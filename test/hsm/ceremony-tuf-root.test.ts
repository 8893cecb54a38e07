/** The next version of a TUF root: by the scripts that are shipped, from one key to two of three, and on from there without one of them. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as tuf from "../../core/formats/tuf.ts";
import { runCeremony } from "../../hsm/ceremony/run.ts";
import { checkRoot } from "../../hsm/ceremony/tuf-check.ts";
import { type CeremonyRequest, verifyTranscript } from "../../hsm/commands.ts";
import { ceremonyHome, type CeremonyHome, killed } from "../support/ceremony.ts";

const folder = new URL("../../deploy/ceremonies/", import.meta.url);
const scriptOf = (name: string) => readFileSync(new URL(`${name}.yaml`, folder), "utf8");

/** The smallest ceremony that leaves a repository. */
const first = `
ceremony: first-root
version: 1
transcriptKey: transcript
parameters: [organization]
steps:
  - { step: initialiseToken, token: offline, label: chancery-offline, pinFile: secrets/offline-pin }
  - { step: generateKey, token: offline, label: transcript, algorithm: ecdsa-p256 }
  - { step: generateKey, token: offline, label: tuf-root, algorithm: ecdsa-p256 }
  - { step: generateKey, token: offline, label: tuf-targets, algorithm: ecdsa-p256 }
  - { step: publishKey, key: transcript, out: trust/transcript.pub }
  - step: tufRepository
    rootKey: tuf-root
    targetsKey: tuf-targets
    snapshotKey: tuf-targets
    timestampKey: tuf-targets
    days: 30
    uri: http://localhost
    targets: [{ name: transcript.pub, from: { publicKey: transcript } }]
    out: trust/tuf
    rootCopyOut: trust/1.root.json
`;
const tokens = ["root-1", "root-2", "root-3", "root-4"];
const pin = "0123456789abcdef0123456789abcdef";
const pins = Object.fromEntries(tokens.map((token) => [token, pin]));

let at: CeremonyHome;
const hashes = new Map<string, string>();

beforeAll(async () => {
  at = ceremonyHome(first, ["offline", ...tokens]);
  await runCeremony(at.request, "rehearse");
  await runCeremony(at.request, "perform");
  learnKeys("first-root");
});
afterAll(() => at[Symbol.dispose]());

function learnKeys(ceremony: string): void {
  const { lines } = verifyTranscript(at.read(`ceremony/${ceremony}.transcript.jsonl`));
  for (const { what, detail } of lines) {
    if (what === "key") hashes.set(String(detail["label"]), String(detail["publicKeySha256"]));
  }
}

const sha256Of = (path: string) => createHash("sha256").update(at.read(path)).digest("hex");
const keyHash = (label: string) => hashes.get(label) ?? "";
const rootOf = (path: string) => tuf.parseRoot(tuf.parseSignedRole(at.read(path)).signed);

/** What the shipped scripts ask for. */
function parameters(version: number, rootFile: string): { [name: string]: string } {
  return {
    version: String(version),
    rootFile,
    rootSha256: sha256Of(rootFile),
    transcriptKeySha256: keyHash("transcript"),
    tufRootKeySha256: keyHash("tuf-root"),
  };
}

function request(text: string, given: { readonly [name: string]: string }): CeremonyRequest {
  const names = /^parameters:\s*\[([^\]]*)\]$/m.exec(text)?.[1]?.split(", ") ?? [];
  const wanted = Object.fromEntries(names.map((name) => [name, given[name] ?? "none"]));
  return { ...at.script(text, wanted), pins };
}

async function perform(text: string, given: { readonly [name: string]: string }): Promise<void> {
  const asked = request(text, given);
  await runCeremony(asked, "rehearse");
  const { transcript } = await runCeremony(asked, "perform");
  verifyTranscript(readFileSync(transcript, "utf8"), { home: at.home, source: text });
}

test("one key renews itself: another version, another term, and nothing else", async () => {
  const script = scriptOf("tuf-root-renew").replaceAll("trust/roots", "trust/renewed");
  const named = script.replace("ceremony: tuf-root-", "ceremony: tuf-renewed-");
  await perform(named, parameters(2, "trust/tuf/1.root.json"));
  const [before, after] = [rootOf("trust/tuf/1.root.json"), rootOf("trust/renewed/2.root.json")];
  expect(checkRoot(at.read("trust/renewed/2.root.json"), before)).toEqual(after);
  expect({ ...after, version: 1, expires: before.expires }).toEqual(before);
  const days = (after.expires.getTime() - Date.now()) / 86_400_000;
  expect(days).toBeGreaterThan(3_649);
});

test("one key hands over to two of three, killed at every signature on the way", async () => {
  const asked = request(scriptOf("tuf-root-quorum"), parameters(2, "trust/tuf/1.root.json"));
  await runCeremony(asked, "rehearse");
  // Before the first signature; then after one more each time: the old key's, those of the three new ones, and before the seal.
  for (const [recorded, number] of [1, 2, 2, 2, 2].entries()) {
    expect(await killed(asked, { call: { name: "C_Sign", number } })).toBeNull();
    const lines = at.read("ceremony/tuf-root-2.transcript.jsonl").match(/"what":"signed"/g) ?? [];
    expect(lines).toHaveLength(recorded);
    expect(existsSync(join(at.home, "trust/roots/2.root.json"))).toBe(recorded === 4);
  }
  await runCeremony(asked, "perform");
  learnKeys("tuf-root-2");
  const { lines } = verifyTranscript(at.read("ceremony/tuf-root-2.transcript.jsonl"), {
    home: at.home,
    source: scriptOf("tuf-root-quorum"),
  });
  expect(lines.filter(({ what }) => what === "key")).toHaveLength(3);
  expect(lines.filter(({ what }) => what === "signed")).toHaveLength(4);
  const before = rootOf("trust/tuf/1.root.json");
  const root = checkRoot(at.read("trust/roots/2.root.json"), before);
  expect(root.roles.root).toMatchObject({ threshold: 2 });
  expect(root.roles.root.keyids).toHaveLength(3);
  expect(root.roles.root.keyids).not.toContain(before.roles.root.keyids[0]);
  expect(root.roles.targets).toEqual(before.roles.targets);
});

test("two of the three take a lost one out and a new one in", async () => {
  const before = rootOf("trust/roots/2.root.json");
  const lost = tuf.tufKey(publicKeyOf("tuf-root-2", "tuf-root-3")).keyid;
  await perform(scriptOf("tuf-root-replace"), {
    ...parameters(3, "trust/roots/2.root.json"),
    firstKeySha256: keyHash("tuf-root-1"),
    secondKeySha256: keyHash("tuf-root-2"),
    lostKeyId: lost,
  });
  const after = checkRoot(at.read("trust/roots/3.root.json"), before);
  const added = tuf.tufKey(publicKeyOf("tuf-root-3", "tuf-root-4")).keyid;
  expect(after.roles.root).toEqual({
    threshold: 2,
    keyids: [...before.roles.root.keyids.filter((keyid) => keyid !== lost), added],
  });
  expect(after.keys.map(({ keyid }) => keyid)).not.toContain(lost);
});

const second = "trust/roots/2.root.json";
const open = (number: number) =>
  `  - { step: openToken, token: root-${number}, label: chancery-root-${number} }
  - { step: useKey, token: root-${number}, label: tuf-root-${number}, algorithm: ecdsa-p256, publicKeySha256: "\${key${number}}" }
`;
const script = (name: string, { steps, root }: { steps: string; root: string }) => `
ceremony: ${name}
version: 1
transcriptKey: transcript
parameters: [rootFile, rootSha256, transcriptKeySha256, tufRootKeySha256, key1, key2, key3]
steps:
  - { step: openToken, token: offline, label: chancery-offline, pinFile: secrets/offline-pin }
  - { step: useKey, token: offline, label: transcript, algorithm: ecdsa-p256, publicKeySha256: "\${transcriptKeySha256}" }
  - { step: useKey, token: offline, label: tuf-root, algorithm: ecdsa-p256, publicKeySha256: "\${tufRootKeySha256}" }
${steps}  - { step: tufRoot, before: { file: "\${rootFile}", sha256: "\${rootSha256}" }, days: 365, ${root} }
`;
const one = open(1);
const two = open(1) + open(2);
const cases: readonly (readonly [string, string, string, RegExp, object?])[] = [
  [
    "one of the two signatures that the root before it demands",
    one,
    "signedBy: [tuf-root-1], out: trust/x/3.root.json",
    /the root before it demands 2 signatures of its keys, but 1/,
  ],
  [
    "none of the root before it, though enough of its own",
    "",
    "add: [transcript], threshold: 1, signedBy: [tuf-root, transcript], out: trust/x/3.root.json",
    /the root before it demands 2 signatures of its keys, but 0/,
  ],
  [
    "enough of the root before it, but not of its own",
    two,
    "remove: [{ key: tuf-root-2 }], signedBy: [tuf-root-1, tuf-root-2], out: trust/x/3.root.json",
    /the new root demands 2 signatures of its keys, but 1/,
  ],
  [
    "a signature of a key that neither root names",
    two,
    "signedBy: [tuf-root-1, tuf-root-2, tuf-root], out: trust/x/3.root.json",
    /neither root names it/,
  ],
  [
    "a key that leaves without having been there",
    two,
    `remove: [{ keyid: "${"00".repeat(32)}" }], signedBy: [tuf-root-1, tuf-root-2], out: trust/x/3.root.json`,
    /does not name the key 0000/,
  ],
  [
    "a key that joins twice",
    two,
    "add: [tuf-root-1], signedBy: [tuf-root-1, tuf-root-2], out: trust/x/3.root.json",
    /names the key [0-9a-f]{64} already/,
  ],
  [
    "a threshold that no number of keys reaches",
    two,
    "remove: [{ key: tuf-root-1 }, { key: tuf-root-2 }], signedBy: [tuf-root-1, tuf-root-2], out: trust/x/3.root.json",
    /tuf-threshold: fewer keys of the new TUF root sign it/,
  ],
  [
    "another version than the next",
    two,
    "signedBy: [tuf-root-1, tuf-root-2], out: trust/x/4.root.json",
    /the next one is 3.root.json, not 4/,
  ],
  [
    "a root that was in force once, in place of the one that is",
    "",
    "signedBy: [tuf-root], out: trust/roots/2.root.json",
    /2.root.json exists already/,
    { rootFile: "trust/tuf/1.root.json" },
  ],
  [
    "another root than the one that was agreed on",
    two,
    "signedBy: [tuf-root-1, tuf-root-2], out: trust/x/3.root.json",
    /another root than the script pins/,
    { rootSha256: "00".repeat(32) },
  ],
];
test.for(cases)(
  "refused before anything is signed: %s",
  async ([name, steps, root, why, given = {}]) => {
    const ceremony = `refused-${name.replaceAll(/[^a-z]+/g, "-").slice(0, 40)}`;
    const asked = request(script(ceremony, { steps, root }), {
      ...parameters(3, second),
      key1: keyHash("tuf-root-1"),
      key2: keyHash("tuf-root-2"),
      ...given,
    });
    const both = async () => {
      await runCeremony(asked, "rehearse");
      await runCeremony(asked, "perform");
    };
    await expect(both()).rejects.toThrow(why);
    const path = join(at.home, `ceremony/${ceremony}.transcript.jsonl`);
    if (existsSync(path)) expect(readFileSync(path, "utf8")).not.toContain('"what":"signing"');
    expect(existsSync(join(at.home, "trust/x"))).toBe(false);
  },
);

function publicKeyOf(ceremony: string, label: string): Uint8Array {
  const { lines } = verifyTranscript(at.read(`ceremony/${ceremony}.transcript.jsonl`));
  const line = lines.find(({ what, detail }) => what === "key" && detail["label"] === label);
  return Uint8Array.fromBase64(String(line?.detail["publicKey"]));
}
