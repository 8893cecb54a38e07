/** A rekord of what ssh-keygen and minisign have really signed. */
import { readFileSync } from "node:fs";
import { encodeBase64, encodeUtf8 } from "../../../core/formats/encoding.ts";

/** A file of test/vectors. */
export const vector = (name: string): string =>
  readFileSync(new URL(`../../vectors/${name}`, import.meta.url), "utf8");

/** What was signed. */
export const signedFile = vector("sshsig/artifact.txt");

/** A `rekord` of a format. */
export function rekordOf(format: string, signature: string, key: string, data = signedFile) {
  const base64 = (text: string): string => encodeBase64(encodeUtf8(text));
  return {
    apiVersion: "0.0.1",
    kind: "rekord",
    spec: {
      data: { content: base64(data) },
      signature: { format, content: base64(signature), publicKey: { content: base64(key) } },
    },
  };
}
