/** Every rule of ceremony scripts, just inside and just outside its limit, and the table that explains the rules. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseJson } from "../../core/formats/json.ts";
import { scriptJsonSchema } from "../../hsm/ceremony/json-schema.ts";
import { lintRules } from "../../hsm/ceremony/lint.ts";
import { parseScript } from "../../hsm/ceremony/script.ts";
import { findingsIn, scriptRules } from "../../hsm/ceremony/script-lint.ts";

const folder = new URL("../../deploy/ceremonies/", import.meta.url);
const genesis = readFileSync(new URL("demo-genesis.yaml", folder), "utf8");
const quorum = readFileSync(new URL("tuf-quorum.yaml", folder), "utf8");
const destroy = readFileSync(new URL("destroy-key.yaml", folder), "utf8");
const handover = readFileSync(new URL("tuf-root-quorum.yaml", folder), "utf8");
const replace = readFileSync(new URL("tuf-root-replace.yaml", folder), "utf8");
const deep = readFileSync(new URL("genesis-deep.yaml", folder), "utf8");
const single = readFileSync(new URL("genesis-single.yaml", folder), "utf8");
const authority = readFileSync(new URL("timestamp-authority.yaml", folder), "utf8");

function broken(text: string): readonly string[] {
  const names = /^parameters:\s*\[([^\]]*)\]$/m.exec(text)?.[1]?.split(", ") ?? [];
  const parameters = Object.fromEntries(
    names.map((name) => [name, name === "version" ? "2" : "value"]),
  );
  return [...new Set(findingsIn(parseScript(text, parameters)).map(({ rule }) => rule))];
}

/** Each rule: a change that stays within it, and one that does not. */
const cases: {
  readonly [rule: string]: readonly [string, (text: string) => string, (text: string) => string];
} = {
  "labels-unique": [
    genesis,
    (text) => text.replace("label: id-token", "label: id-token-2"),
    (text) => text.replace("label: id-token", "label: ct-log"),
  ],
  "tokens-unique": [
    genesis,
    (text) => `${text}  - { step: openToken, token: safe, label: chancery-safe }\n`,
    (text) => `${text}  - { step: openToken, token: offline, label: chancery-offline }\n`,
  ],
  "outputs-unique": [
    genesis,
    (text) => text.replace("out: trust/issuing-ca.pem", "out: trust/root-ca-2.pem"),
    (text) => text.replace("out: trust/issuing-ca.pem", "out: trust/root-ca.pem"),
  ],
  "token-before-use": [
    genesis,
    (text) => text.replaceAll("token: offline", "token: safe"),
    (text) => text.replace("token: offline", "token: safe"),
  ],
  "key-before-use": [
    genesis,
    (text) => text.replace("ctKey: ct-log", "ctKey: rekor-v2-log"),
    (text) => text.replace("ctKey: ct-log", "ctKey: ct-log-2"),
  ],
  "ed25519-checkpoints": [
    genesis,
    (text) =>
      text.replace(
        "label: rekor-v2-log\n    algorithm: ecdsa-p256",
        "label: rekor-v2-log\n    algorithm: ed25519",
      ),
    (text) =>
      text.replace(
        "label: rekor-v1-log\n    algorithm: ecdsa-p256",
        "label: rekor-v1-log\n    algorithm: ed25519",
      ),
  ],
  "certificate-before-use": [
    authority,
    (text) => text.replace("file: trust/root-ca.pem", "file: trust/root.pem"),
    (text) => text.replace(/ {2}- step: useCertificate\n.*\n.*\n/, ""),
  ],
  "roots-offline": [
    genesis,
    (text) => text.replace("label: tuf-targets", "label: tuf-targets"),
    (text) => text.replace("targetsKey: tuf-targets", "targetsKey: tuf-snapshot"),
  ],
  "root-strength": [
    genesis,
    (text) => text.replace("algorithm: ecdsa-p384", "algorithm: rsa-3072"),
    (text) => text.replace("algorithm: ecdsa-p384", "algorithm: ecdsa-p256"),
  ],
  "root-lifetime": [
    genesis,
    (text) => text.replace("years: 20", "years: 25"),
    (text) => text.replace("years: 20", "years: 26"),
  ],
  "single-lifetime": [
    single,
    (text) => text,
    (text) =>
      text.replace("years: 10\n    out: trust/issuing-ca", "years: 11\n    out: trust/issuing-ca"),
  ],
  "ca-strength": [
    deep,
    (text) =>
      text.replace(
        "label: issuing-ca\n    algorithm: ecdsa-p384",
        "label: issuing-ca\n    algorithm: rsa-3072",
      ),
    (text) =>
      text.replace(
        "label: issuing-ca\n    algorithm: ecdsa-p384",
        "label: issuing-ca\n    algorithm: rsa-2048",
      ),
  ],
  "timestamp-key": [
    genesis,
    (text) =>
      text.replace(
        "label: timestamp\n    algorithm: ecdsa-p256",
        "label: timestamp\n    algorithm: ecdsa-p384",
      ),
    (text) =>
      text.replace(
        "label: timestamp\n    algorithm: ecdsa-p256",
        "label: timestamp\n    algorithm: rsa-4096",
      ),
  ],
  "names-unique": [
    genesis,
    (text) => text.replace("organization} timestamp root", "organization} root 2"),
    (text) => text.replace("organization} timestamp root", "organization} root"),
  ],
  "path-length": [
    deep,
    (text) => text.replace("pathLength: 1", "pathLength: 2"),
    (text) => text.replace("pathLength: 1", "pathLength: 0"),
  ],
  "validity-nested": [
    genesis,
    (text) => text.replace("years: 10", "years: 20"),
    (text) => text.replace("years: 10", "years: 21"),
  ],
  "tuf-key-type": [
    genesis,
    (text) =>
      text.replace(
        "label: tuf-root\n    algorithm: ecdsa-p256",
        "label: tuf-root\n    algorithm: ecdsa-p256",
      ),
    (text) =>
      text.replace(
        "label: tuf-root\n    algorithm: ecdsa-p256",
        "label: tuf-root\n    algorithm: ecdsa-p384",
      ),
  ],
  "tuf-added-sign": [
    handover,
    (text) => text,
    (text) => text.replace("tuf-root-2, tuf-root-3]\n    days", "tuf-root-2]\n    days"),
  ],
  "tuf-root-name": [
    replace,
    (text) => text.replace("out: trust/roots/${version}.root.json", "out: trust/roots/2.root.json"),
    (text) => text.replace("out: trust/roots/${version}.root.json", "out: trust/roots/1.root.json"),
  ],
  "tuf-threshold": [
    quorum,
    (text) => text.replace("rootThreshold: 2", "rootThreshold: 3"),
    (text) => text.replace("rootThreshold: 2", "rootThreshold: 4"),
  ],
  "tuf-separate-tokens": [
    quorum.replace("token: root-2\n    label: tuf-root-2", "token: root-1\n    label: tuf-root-2"),
    (text) => text.replace("rootThreshold: 2", "rootThreshold: 1"),
    (text) => text,
  ],
  "online-bound": [
    genesis,
    (text) => text.replace("askers: [idp]", "askers: [idp, other]"),
    (text) => text.replace("askers: [idp]", "askers: []"),
  ],
  "offline-unbound": [
    genesis,
    (text) => text,
    (text) => text.replace("label: tuf-targets", "label: tuf-targets\n    askers: [trust]"),
  ],
  "transcript-key": [
    genesis,
    (text) => text.replace("transcriptKey: transcript", "transcriptKey: tuf-root"),
    (text) => text.replace("transcriptKey: transcript", "transcriptKey: id-token"),
  ],
  "secrets-apart": [
    genesis,
    (text) => text.replace("pinFile: secrets/pin", "pinFile: secrets/other/pin"),
    (text) => text.replace("pinFile: secrets/pin", "pinFile: trust/pin"),
  ],
  "state-complete": [
    genesis,
    (text) =>
      `${text}  - step: generateKey\n    token: offline\n    label: late\n    algorithm: ecdsa-p256\n`,
    (text) =>
      `${text}  - step: generateKey\n    token: online\n    label: late\n    algorithm: ecdsa-p256\n    purposes: [timestamp]\n    askers: [timestamp]\n`,
  ],
  "destroy-confirmed": [
    destroy,
    (text) => text,
    (text) => text.replace("confirm: destroy rekor-v2-log", "confirm: destroy rekor-v1-log"),
  ],
};

describe("scripts", () => {
  test.each(scriptRules)("%s", (rule) => {
    const [text = "", within = String, beyond = String] = cases[rule] ?? [];
    expect(broken(within(text))).toEqual([]);
    expect(broken(beyond(text))).toEqual([rule]);
  });

  test("destroy-confirmed compares the hash, too", () => {
    const text = destroy.replace("${confirmedKeySha256}", "another");
    expect(broken(text)).toEqual(["destroy-confirmed"]);
  });

  test.each([
    ["tuf-threshold", "threshold: 2", "threshold: 3", "threshold: 4"],
    ["tuf-separate-tokens", "label: tuf-root-2", "label: tuf-root-2", ""],
    ["roots-offline", "token: root-3", "token: root-3", "token: online"],
    [
      "tuf-key-type",
      "label: tuf-root-3\n    algorithm: ecdsa-p256",
      "",
      "label: tuf-root-3\n    algorithm: ecdsa-p384",
    ],
  ])("%s of the next TUF root, too", (rule, what, within, beyond) => {
    const change = (to: string) => handover.replaceAll(what, to || what);
    expect(broken(change(within))).toEqual([]);
    const together = handover
      .replaceAll("token: root-2", "token: root-1")
      .replace(/ {2}- step: initialiseToken\n {4}token: root-1\n {4}label: chancery-root-2\n/, "");
    expect(broken(beyond === "" ? together : change(beyond))).toContain(rule);
  });

  test("every script that is shipped obeys them all", () => {
    const scripts = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
    expect(scripts.length).toBeGreaterThanOrEqual(9);
    for (const name of scripts) {
      expect(broken(readFileSync(new URL(name, folder), "utf8")), name).toEqual([]);
    }
  });
});

test("ASSURANCE.md has a row for each rule, and no other", () => {
  const text = readFileSync(new URL("../../hsm/ceremony/ASSURANCE.md", import.meta.url), "utf8");
  const rows = [
    ...text.matchAll(/^\|.*\| `([a-z0-9-]+)` \| ceremony-(?:rules|profiles) \|$/gm),
  ].map(([, id]) => id ?? "");
  expect(rows).toHaveLength(scriptRules.length + lintRules.length);
  expect(new Set(rows)).toEqual(new Set([...scriptRules, ...lintRules]));
});

test("the published schema is the one that the engine parses with", () => {
  const published = readFileSync(new URL("ceremony.schema.json", folder), "utf8");
  expect(parseJson(published)).toEqual(parseJson(scriptJsonSchema()));
});
