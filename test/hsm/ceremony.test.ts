import { execFileSync } from "node:child_process";
import { createPrivateKey, randomBytes, X509Certificate } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseTrustedRoot } from "../../core/formats/trusted-root.ts";
import {
  type CeremonyRequest,
  performCeremony,
  rehearseCeremony,
  verifyTranscript,
} from "../../hsm/commands.ts";
import { lintAuthority } from "../../hsm/ceremony/lint.ts";
import { parseScript } from "../../hsm/ceremony/script.ts";
import { readKeyring } from "../../hsm/keyring.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { softHsmModule } from "../support/vault.ts";

const script = new URL("../../deploy/ceremonies/demo-genesis.yaml", import.meta.url).pathname;
const parameters = {
  origin: "http://localhost:8420",
  treeId: "1193050959916656506",
  logOrigin: "localhost",
  organization: "Chancery demo",
};

let home: string;
let request: CeremonyRequest;
const steps: string[] = [];

beforeAll(async () => {
  home = newHome();
  request = { script, home, module: softHsmModule, parameters };
  await rehearseCeremony(request);
  await performCeremony(request, (step) => steps.push(step));
});

afterAll(() => rmSync(home, { recursive: true, force: true }));

test("reports every step and leaves a transcript that verifies", () => {
  const source = readFileSync(script, "utf8");
  const { lines } = verifyTranscript(transcript(), { home, source });
  const { steps: scripted } = parseScript(readFileSync(script, "utf8"), parameters);
  expect(steps).toHaveLength(scripted.length);
  expect(lines.filter(({ what }) => what === "step")).toHaveLength(scripted.length);
  expect(lines[0]?.detail["parameters"]).toEqual(parameters);
});

test("refuses a transcript with a changed, missing or cut line", () => {
  const text = transcript();
  const lines = text.split("\n");
  expect(() => verifyTranscript(text.replace("chancery-online", "chancery-onlime"))).toThrow(
    /does not follow|not one/,
  );
  expect(() => verifyTranscript(lines.toSpliced(4, 1).join("\n"))).toThrow(/not one/);
  expect(() => verifyTranscript(`${lines.slice(0, -2).join("\n")}\n`)).toThrow(/did not end/);
  expect(() => verifyTranscript(text.slice(0, -20))).toThrow(/not whole/);
});

test("keeps every private key sensitive and never extractable, as pkcs11-tool sees it", () => {
  for (const [name, pinFile, count] of [
    ["online", "pin", 8],
    ["offline", "offline-pin", 5],
  ] as const) {
    const pin = readFileSync(join(home, "secrets", pinFile), "utf8").trim();
    const listed = pkcs11Tool(name, [
      "--login",
      "--pin",
      pin,
      "--list-objects",
      "--type",
      "privkey",
    ]);
    const access = listed.split("\n").filter((line) => line.includes("Access:"));
    expect(access).toHaveLength(count);
    for (const line of access) {
      expect(line).toContain("sensitive, always sensitive, never extractable, local");
    }
    expect(listed.match(/Usage: +sign\n/g)).toHaveLength(count);
  }
});

test("makes a chain that openssl accepts", () => {
  const [root, issuing] = [join(home, "trust/root-ca.pem"), join(home, "trust/issuing-ca.pem")];
  expect(openssl("verify", "-x509_strict", "-CAfile", root, issuing)).toContain("OK");
  const text = openssl("x509", "-in", issuing, "-noout", "-text");
  expect(text).toMatch(/CA:TRUE, pathlen:0/);
  expect(text).toMatch(/Extended Key Usage:\s*\n\s*Code Signing/);
  expect(openssl("x509", "-in", root, "-noout", "-text")).toMatch(/ASN1 OID: secp384r1/);
});

test("makes a timestamp authority's chain that openssl accepts", () => {
  const [root, leaf] = [join(home, "trust/tsa-root.pem"), join(home, "trust/tsa-leaf.pem")];
  const strict = ["-x509_strict", "-purpose", "timestampsign", "-CAfile", root, leaf];
  expect(openssl("verify", ...strict)).toContain("OK");
  const text = openssl("x509", "-in", leaf, "-noout", "-text");
  expect(text).toMatch(/Extended Key Usage: critical\s*\n\s*Time Stamping\s*\n/);
  expect(text).toMatch(/Key Usage: critical\s*\n\s*Digital Signature\s*\n/);
});

test("makes a TLS certificate for the local names, whose CA key exists nowhere", () => {
  const [ca, cert] = [join(home, "trust/tls/ca.pem"), join(home, "trust/tls/cert.pem")];
  expect(openssl("verify", "-CAfile", ca, "-verify_hostname", "localhost", cert)).toContain("OK");
  expect(openssl("verify", "-CAfile", ca, "-verify_ip", "::1", cert)).toContain("OK");
  const key = readFileSync(join(home, "secrets/tls/key.pem"), "utf8");
  expect(new X509Certificate(readFileSync(cert)).checkPrivateKey(createPrivateKey(key))).toBe(true);
});

test("writes trust material that parses, with targets under their hashes", async () => {
  const trusted = parseTrustedRoot(readFileSync(join(home, "trust/trusted_root.json"), "utf8"));
  const keyring = await readKeyring(join(home, "vault/keyring.json"));
  const key = (label: string) => keyring.keys.find((one) => one.label === label);
  expect(trusted.tlogs[0]?.publicKey).toEqual(key("rekor-v1-log")?.publicKey);
  expect(trusted.ctlogs[0]?.publicKey).toEqual(key("ct-log")?.publicKey);
  expect(key("issuing-ca")?.chain).toEqual(trusted.certificateAuthorities[0]?.certificates);
  expect(readdirSync(join(home, "trust/tuf/targets"))).toHaveLength(9);
  expect(readFileSync(join(home, "trust/1.root.json"))).toEqual(
    readFileSync(join(home, "trust/tuf/1.root.json")),
  );
});

test("leaves every token file and secret to its owner alone", () => {
  for (const folder of ["tokens", "secrets"]) {
    for (const entry of readdirSync(join(home, folder), { recursive: true, withFileTypes: true })) {
      const mode = statSync(join(entry.parentPath, entry.name)).mode & 0o777;
      expect(mode, entry.name).toBe(entry.isDirectory() ? 0o700 : 0o600);
    }
  }
});

test("refuses to be repeated", async () => {
  await expect(performCeremony(request)).rejects.toThrow(/never repeated/);
});

test("refuses a home in which a vault was made otherwise", async () => {
  const half = newHome();
  await rehearseCeremony({ ...request, home: half });
  mkdirSync(join(half, "vault"), { recursive: true });
  writeFileSync(join(half, "vault", "vault.db"), "");
  await expect(performCeremony({ ...request, home: half })).rejects.toThrow(/exists already/);
  expect(existsSync(join(half, "secrets"))).toBe(false);
  rmSync(half, { recursive: true });
});

test.each([
  ["an unknown member", (text: string) => text.replace("years: 20", "years: 20\n    colour: red")],
  ["an unknown step", (text: string) => text.replace("step: vaultState", "step: vaultSmash")],
  ["a path out of the home", (text: string) => text.replace("secrets/pin\n", "../pin\n")],
  ["an undeclared parameter", (text: string) => text.replace("${logOrigin}", "${other}")],
])("refuses a script with %s", (_, change) => {
  const text = readFileSync(script, "utf8");
  expect(change(text)).not.toBe(text);
  expect(() => parseScript(change(text), parameters)).toThrow(/ceremony script/);
});

test("refuses missing and unknown parameters", () => {
  const text = readFileSync(script, "utf8");
  const { treeId: _, ...rest } = parameters;
  expect(() => parseScript(text, rest)).toThrow(/needs the parameter "treeId"/);
  expect(() => parseScript(text, { ...parameters, other: "x" })).toThrow(/no parameter "other"/);
});

test("names the rule that a CA certificate breaks", () => {
  const root = new X509Certificate(readFileSync(join(home, "trust/root-ca.pem"))).raw;
  const { tbs } = parseCertificate(new Uint8Array(root));
  expect(() => lintAuthority(tbs, "root")).not.toThrow();
  expect(() => lintAuthority(tbs, "issuing")).toThrow(
    /self-issued-root, basic-constraints, extended-key-usage/,
  );
});

function transcript(): string {
  return readFileSync(join(home, "ceremony/demo-genesis.transcript.jsonl"), "utf8");
}

function newHome(): string {
  const folder = mkdtempSync(join(tmpdir(), `chancery-genesis-${randomBytes(2).toString("hex")}-`));
  for (const name of ["online", "offline"]) {
    const tokens = join(folder, "tokens", name);
    mkdirSync(tokens, { recursive: true });
    const conf = `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`;
    writeFileSync(join(folder, `softhsm2-${name}.conf`), conf);
  }
  return folder;
}

function pkcs11Tool(token: string, args: readonly string[]): string {
  const env = { ...process.env, SOFTHSM2_CONF: join(home, `softhsm2-${token}.conf`) };
  return execFileSync("pkcs11-tool", ["--module", softHsmModule, ...args], {
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
}

function openssl(...args: readonly string[]): string {
  return execFileSync("openssl", args, { encoding: "utf8" });
}
