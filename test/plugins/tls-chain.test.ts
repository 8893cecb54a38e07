/** Which certificates lead up to which authority: `chancery tls use`. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { formatChain, readChain, requireUnder } from "../../config/tls-chain.ts";

const folder = mkdtempSync(join(tmpdir(), "chancery-chain-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A certificate of this name; without an issuer it is its own. */
function certify(name: string, issuer?: string): string {
  const at = (file: string): string => join(folder, file);
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
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
