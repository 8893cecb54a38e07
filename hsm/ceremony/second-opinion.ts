/** Certificates as implementations see them that share no code with ours: `@peculiar/x509` over WebCrypto, and openssl where it is. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
// @peculiar/x509 wants its metadata before it is loaded.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { formatPem } from "../../core/formats/pem.ts";
import { VaultRefused } from "../errors.ts";

/** @throws {VaultRefused} unless `@peculiar/x509` reads the same bytes and finds the signature good under the issuer's key */
export async function verifyElsewhere(certificate: Uint8Array, issuer: Uint8Array): Promise<void> {
  const read = new x509.X509Certificate(Uint8Array.from(certificate));
  const publicKey = new x509.PublicKey(Uint8Array.from(issuer));
  const isSame = Buffer.from(read.rawData).equals(certificate);
  if (!isSame || !(await read.verify({ publicKey, signatureOnly: true }))) {
    throw new VaultRefused("@peculiar/x509 does not accept the certificate that was signed");
  }
}

/**
 * Asks openssl about a chain, own certificate first. False where there is no openssl.
 *
 * @throws {VaultRefused} if openssl refuses it
 */
export function verifyByOpenssl(chain: readonly Uint8Array[]): boolean {
  const folder = mkdtempSync(join(tmpdir(), "chancery-opinion-"));
  try {
    const file = (name: string, certificates: readonly Uint8Array[]): string => {
      const path = join(folder, name);
      writeFileSync(path, certificates.map((one) => formatPem("CERTIFICATE", one)).join(""));
      return path;
    };
    const root = file("root.pem", chain.slice(-1));
    const above = chain.length > 2 ? ["-untrusted", file("above.pem", chain.slice(1, -1))] : [];
    const own = file("own.pem", chain.slice(0, 1));
    execFileSync("openssl", ["verify", "-x509_strict", "-CAfile", root, ...above, own], {
      stdio: "ignore",
    });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw new VaultRefused("openssl does not accept the certificate that was signed");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
