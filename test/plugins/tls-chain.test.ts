/** Which certificates lead up to which authority: `chancery tls use`. */
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { formatChain, madeTogether, readChain, requireUnder } from "../../config/tls-chain.ts";
import { makeServerCertificate } from "../../hsm/commands.ts";

const folder = mkdtempSync(join(tmpdir(), "chancery-chain-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A certificate of this name; without an issuer it is its own. */
function certify(name: string, issuer?: string, days = 2): string {
  const at = (file: string): string => join(folder, file);
  const kind = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    String(days),
  ];
  const by = issuer === undefined ? [] : ["-CA", at(issuer), "-CAkey", at(`${issuer}.key`)];
  const to = ["-subj", `/CN=${name}`, "-keyout", at(`${name}.key`), "-out", at(name)];
  execFileSync("openssl", ["req", "-x509", ...kind, ...by, ...to], { stdio: "ignore" });
  return readFileSync(at(name), "utf8");
}

const root = certify("root");
const middle = certify("middle", "root");
const leaf = certify("leaf", "middle");
const other = certify("other");
const lookAlike = (() => {
  const real = readFileSync(join(folder, "root"), "utf8");
  const made = certify("root");
  expect(made).not.toBe(real);
  return made;
})();

const isUnder = (chain: string, authority: string, at = new Date()) => {
  requireUnder(readChain("certificate", chain), readChain("authority", authority), at);
};

test.each([
  ["with all between", leaf + middle, root],
  ["in another order, with the root and one too many", leaf + other + root + middle, root],
  ["to the one between", leaf, middle],
  ["to one of several", leaf + middle, other + root],
  ["to itself", other, other],
])("a chain is taken %s", (_, chain, authority) => {
  expect(() => isUnder(chain, authority)).not.toThrow();
});

test.each([
  ["without the one between", leaf, root, "CN=middle is needed"],
  ["to another", leaf + middle, other, "CN=root is needed"],
  ["to one that is only called so", leaf + middle, lookAlike, "CN=root is needed"],
])("a chain is refused %s", (_, chain, authority, said) => {
  expect(() => isUnder(chain, authority)).toThrow(said);
});

test("an authority that has ended is none", () => {
  const later = new Date(Date.now() + 3 * 86_400_000);
  expect(() => isUnder(leaf + middle, root, later)).toThrow("valid now");
});

test("what stands around certificates is left out", () => {
  const key = readFileSync(join(folder, "leaf.key"), "utf8");
  expect(formatChain(readChain("certificate", `subject=leaf\n${leaf}${key}${middle}`))).toBe(
    leaf + middle,
  );
});

test("only what was made at one stroke is taken for made together", () => {
  const fields = { organization: "Corp", names: ["x"], addresses: [], days: 9 };
  const [made, other] = [1_000_000_000, 2_000_000_000].map((at) =>
    makeServerCertificate({ ...fields, notBefore: new Date(at) }),
  );
  const certificate = new X509Certificate(made?.certificate ?? "");
  const of = (authorities: string) => madeTogether(certificate, authorities)?.subject;
  expect(of(`${other?.authority}${made?.authority}`)).toContain("CN=Corp local TLS CA");
  // Called the same, and with another key; one that is damaged; none.
  expect(of(other?.authority ?? "")).toBeUndefined();
  expect(of(made?.authority.slice(0, 200) ?? "")).toBeUndefined();
  expect(of("")).toBeUndefined();
  // An authority that signed it and goes on certifying.
  const lasting = new X509Certificate(certify("lasting"));
  const signed = new X509Certificate(certify("signed", "lasting", 1));
  expect(signed.verify(lasting.publicKey)).toBe(true);
  expect(madeTogether(signed, lasting.toString())).toBeUndefined();
});
