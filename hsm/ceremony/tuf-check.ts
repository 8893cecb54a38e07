/** TUF roots as clients check them. */
import { verify } from "node:crypto";
import * as tuf from "../../core/formats/tuf.ts";
import { VaultRefused } from "../errors.ts";
import { keyObject } from "../public-key.ts";

/** As TUF clients verify. */
export const verifyRole: tuf.VerifyTufSignature = (spki, data, signature) =>
  verify("sha256", data, keyObject(spki), signature);

/**
 * A root that follows from the one before it, or the first of all (TUF 1.0.31 §5.3).
 *
 * @throws {Malformed} unless it is signed as the one before it and itself demand. @throws {VaultRefused} if it is not the next version
 */
export function checkRoot(text: string, before: tuf.RootRole | null): tuf.RootRole {
  const file = tuf.parseSignedRole(text);
  const root = tuf.parseRoot(file.signed);
  if (before !== null) tuf.checkSignatures(file, "root", before, verifyRole);
  tuf.checkSignatures(file, "root", root, verifyRole);
  if (root.version !== (before?.version ?? 0) + 1) {
    throw new VaultRefused(`a root is of version ${root.version}, which is not the next one`);
  }
  return root;
}
