/** Other chains than the demo's, as the genesis scripts make them: strangers' clients and openssl build and verify them. */
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parsePemBlocks } from "../../core/formats/pem.ts";
import { parseTrustedRoot, type TrustedAuthority } from "../../core/formats/trusted-root.ts";
import { Stranger } from "../support/stranger.ts";

test("root, intermediate and issuing CA of P-384, and timestamps below an intermediate", async () => {
  await using stranger = await Stranger.arrive("genesis-deep");
  await signEverything(stranger);
  expect(await namesOf(stranger, "certificateAuthorities")).toEqual([
    ["chancery-demo issuing CA", "chancery-demo intermediate", "chancery-demo root"],
  ]);
  const chain = [
    "chancery-demo timestamp authority",
    "chancery-demo timestamp intermediate",
    "chancery-demo timestamp root",
  ];
  expect(await namesOf(stranger, "timestampAuthorities")).toEqual([chain]);
  const served = await fetch(`${stranger.instance.origin}/api/v1/timestamp/certchain`);
  expect(parsePemBlocks(await served.text()).map(({ der }) => commonName(der))).toEqual(chain);
  await verifyByOpenssl(stranger);
  // The next CA is certified by what certified the one before it.
  expect(await stranger.operate("rotate-issuing-ca", "issuing-ca-2")).toMatchObject({ code: 0 });
  expect(await stranger.signAndVerify("after a rotation")).toContain("issuing-ca-2");
  expect((await namesOf(stranger, "certificateAuthorities"))[0]).toEqual([
    "chancery-demo issuing-ca-2",
    "chancery-demo intermediate",
    "chancery-demo root",
  ]);
  await stranger.verifyAll();
  await stranger.expectClean();
});

test("a CA of RSA that is its own root, and the one of P-384 that takes over from it", async () => {
  await using stranger = await Stranger.arrive("genesis-single");
  await signEverything(stranger);
  expect(await namesOf(stranger, "certificateAuthorities")).toEqual([["chancery-demo issuing CA"]]);
  // Verifiers would not know which of two CAs of one name to look at.
  const same = ["--common-name", "chancery-demo issuing CA"];
  const refused = await stranger.operate("rotate-issuing-ca", "issuing-ca-2", ...same);
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.stderr).toContain('another CA is called "chancery-demo issuing CA" already');
  const roots = async () => {
    const answer = await fetch(`${stranger.instance.origin}/logs/ct/ct/v1/get-roots`);
    const { certificates } = (await answer.json()) as { certificates: string[] };
    return certificates.map((one) => commonName(Buffer.from(one, "base64")));
  };
  expect(await roots()).toEqual(["chancery-demo issuing CA"]);
  const kind = ["--algorithm", "ecdsa-p384"];
  expect(await stranger.operate("rotate-issuing-ca", "issuing-ca-2", ...kind)).toMatchObject({
    code: 0,
  });
  expect(await stranger.signAndVerify("after a rotation")).toContain("issuing-ca-2");
  expect(await namesOf(stranger, "certificateAuthorities")).toEqual([
    ["chancery-demo issuing-ca-2"],
    ["chancery-demo issuing CA"],
  ]);
  expect(await roots()).toEqual(["chancery-demo issuing CA", "chancery-demo issuing-ca-2"]);
  await stranger.verifyAll();
  await stranger.expectClean();
});

/** The npm client signs into Rekor v1, and into v2 with a timestamp. */
async function signEverything(stranger: Stranger): Promise<void> {
  expect(await stranger.signAndVerify("at first")).toContain("issuing CA");
  const bundle = await stranger.buildV2();
  expect(bundle.verificationMaterial.timestampVerificationData).toBeDefined();
  stranger.bundles.push({ when: "with a timestamp", bundle });
}

async function namesOf(
  { instance }: Stranger,
  what: "certificateAuthorities" | "timestampAuthorities",
): Promise<string[][]> {
  const text = await readFile(join(instance.home, "trust", "trusted_root.json"), "utf8");
  return parseTrustedRoot(text)[what].map(({ certificates }: TrustedAuthority) =>
    certificates.map(commonName),
  );
}

function commonName(der: Uint8Array): string {
  return /CN=(.*)/.exec(new X509Certificate(der).subject)?.[1] ?? "";
}

/** With what is above the authority it verifies; with the root alone, or another root, it does not. */
async function verifyByOpenssl({ instance }: Stranger): Promise<void> {
  const trust = join(instance.home, "trust");
  const at = (name: string) => join(instance.home, "run", name);
  await writeFile(at("artifact"), "the analytical engine");
  execFileSync(
    "openssl",
    ["ts", "-query", "-data", at("artifact"), "-sha256", "-cert"].concat(["-out", at("query")]),
    { stdio: "ignore" },
  );
  const reply = await fetch(`${instance.origin}/api/v1/timestamp`, {
    method: "POST",
    headers: { "content-type": "application/timestamp-query" },
    body: await readFile(at("query")),
  });
  await writeFile(at("reply"), await reply.bytes());
  const verify =
    (...more: string[]) =>
    () =>
      execFileSync(
        "openssl",
        ["ts", "-verify", "-in", at("reply"), "-queryfile", at("query"), ...more],
        { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
      );
  const intermediate = ["-untrusted", join(trust, "tsa-intermediate.pem")];
  const root = ["-CAfile", join(trust, "tsa-root.pem")];
  expect(verify(...root, ...intermediate)()).toContain("Verification: OK");
  expect(verify(...root)).toThrow();
  expect(verify("-CAfile", join(trust, "root-ca.pem"), ...intermediate)).toThrow();
}
