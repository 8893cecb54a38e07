/** A rekord by what ssh-keygen and minisign have really signed (test/vectors): what is stored, byte for byte, and what is refused. */
import { expect, test } from "vitest";
import { decodeUtf8, encodeBase64 } from "../../../core/formats/encoding.ts";
import { Malformed } from "../../../core/formats/malformed.ts";
import { parseMinisignKey, parseMinisignSignature } from "../../../core/formats/minisign.ts";
import { parseSshKey, parseSshSignature } from "../../../core/formats/ssh-signature.ts";
import { Failure } from "../../../events/failure.ts";
import { admit } from "../../../plugins/rekor/admission.ts";
import { describeEntry } from "../../../plugins/search/describe.ts";
import { bytesOf } from "./proposals.ts";
import { rekordOf, vector } from "./signed-files.ts";

const read = vector;
const proposed = (...args: Parameters<typeof rekordOf>) => bytesOf(rekordOf(...args));

function stored(entry: Uint8Array) {
  const { spec } = JSON.parse(decodeUtf8(entry)) as {
    spec: {
      data: object;
      signature: { format: string; content: string; publicKey: { content: string } };
    };
  };
  const text = (encoded: string) => Buffer.from(encoded, "base64").toString();
  const { format, content, publicKey } = spec.signature;
  return { data: spec.data, format, signature: text(content), key: text(publicKey.content) };
}

function codeOf(...args: Parameters<typeof proposed>): string {
  try {
    admit(proposed(...args));
    return "taken";
  } catch (thrown) {
    if (!(thrown instanceof Failure)) throw thrown;
    return thrown.code;
  }
}

/** The same bytes in lines of 64, as Go's PEM has them. */
const armoured = (signature: string): string => {
  const [begin = "", ...lines] = signature.trimEnd().split("\n");
  const end = lines.pop() ?? "";
  return [begin, ...(lines.join("").match(/.{1,64}/g) ?? []), end, ""].join("\n");
};

test.for([
  ["ed25519", "ed25519"],
  ["ed25519", "ed25519-sha256"],
  ["ecdsa256", "ecdsa256"],
  ["ecdsa384", "ecdsa384"],
  ["ecdsa521", "ecdsa521"],
  ["rsa2048", "rsa2048"],
] as const)("takes what an SSH key of %s signed: %s", ([key, name]) => {
  const [signature, line] = [read(`sshsig/${name}.sig`), read(`sshsig/${key}.pub`)];
  const entry = admit(proposed("ssh", signature, line));
  const kept = stored(entry);
  expect(kept).toMatchObject({ format: "ssh", signature: armoured(signature) });
  // Without the comment, which is whose it is and nobody's business.
  expect(kept.key).toBe(`${line.split(" ").slice(0, 2).join(" ")}\n`);
  expect(codeOf("ssh", signature, line, "another artifact")).toBe("signature-invalid");
  // What is stored, proposed again, is the same entry.
  expect(admit(proposed("ssh", kept.signature, kept.key))).toEqual(entry);
  const { digests, signers } = describeEntry(entry);
  expect([digests.length, signers.map(({ key: found }) => found?.length)]).toEqual([1, [64]]);
});

test.for(["legacy", "prehashed"])("takes what minisign signed: %s", (name) => {
  const [signature, key] = [read(`minisign/${name}.minisig`), read("minisign/minisign.pub")];
  const entry = admit(proposed("minisign", signature, key));
  const [, line = ""] = signature.split("\n");
  const raw = Buffer.from(key.split("\n")[1] ?? "", "base64").subarray(-32);
  expect(stored(entry)).toMatchObject({
    format: "minisign",
    signature: `untrusted comment:\n${line}`,
    key: raw.toString("base64"),
  });
  const bare = key.split("\n")[1] ?? "";
  expect(admit(proposed("minisign", signature, bare))).toEqual(entry);
  // signify has no trusted comment.
  expect(admit(proposed("minisign", `untrusted comment: x\n${line}\n`, key))).toEqual(entry);
  expect(codeOf("minisign", signature, key, "another")).toBe("signature-invalid");
  const altered = signature.replace("signed for a test", "signed for a rest");
  expect(codeOf("minisign", altered, key)).toBe("signature-invalid");
  const otherId = Buffer.from(bare, "base64");
  otherId[2] = (otherId[2] ?? 0) ^ 1;
  expect(codeOf("minisign", signature, otherId.toString("base64"))).toBe("signature-invalid");
  expect(describeEntry(entry).signers).toHaveLength(1);
});

const ssh = { signature: read("sshsig/ed25519.sig"), key: read("sshsig/ed25519.pub") };
const mini = { signature: read("minisign/legacy.minisig"), key: read("minisign/minisign.pub") };
const securityKey = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIA== x";

test.for([
  ["another key's", "ssh", read("sshsig/ecdsa256.sig"), ssh.key, "signature-invalid"],
  ["a signature of another namespace", "ssh", read("sshsig/ed25519-git.sig"), ssh.key, "malformed"],
  ["a key of another kind", "ssh", ssh.signature, securityKey, "key-malformed"],
  ["a key with options", "ssh", ssh.signature, `no-pty ${ssh.key}`, "key-malformed"],
  [
    "a key of another name",
    "ssh",
    ssh.signature,
    ssh.key.replace("ed25519", "rsa"),
    "key-malformed",
  ],
  ["a signature that is none", "ssh", "SSHSIG", ssh.key, "malformed"],
  ["minisign's as ssh", "ssh", mini.signature, ssh.key, "malformed"],
  ["ssh's as minisign", "minisign", ssh.signature, mini.key, "malformed"],
  ["a key cut short", "minisign", mini.signature, mini.key.slice(0, -6), "key-malformed"],
  [
    "a comment without signature",
    "minisign",
    mini.signature.replace(/\n[^\n]+\n$/, "\n"),
    mini.key,
    "malformed",
  ],
  ["a format that is none", "pgp", mini.signature, mini.key, "entry-unsupported"],
] as const)("refuses %s", ([, format, signature, key, code]) => {
  expect(codeOf(format, signature, key)).toBe(code);
});

test("refuses every truncation and every changed byte of a signature and a key", () => {
  const body = Buffer.from(ssh.signature.replaceAll(/-----[^-]+-----|\n/g, ""), "base64");
  const armour = (bytes: Uint8Array) =>
    `-----BEGIN SSH SIGNATURE-----\n${encodeBase64(bytes)}\n-----END SSH SIGNATURE-----\n`;
  for (let at = 0; at < body.length; at++) {
    expect(() => parseSshSignature(armour(body.subarray(0, at)))).toThrow(Malformed);
    const changed = Buffer.from(body);
    changed[at] = (changed[at] ?? 0) ^ 0x01;
    expect(codeOf("ssh", armour(changed), ssh.key)).not.toBe("taken");
  }
  expect(() => parseSshSignature(armour(Buffer.concat([body, Buffer.of(0)])))).toThrow(Malformed);
  const [type = "", encoded = ""] = ssh.key.split(" ");
  const blob = Buffer.from(encoded, "base64");
  for (let at = 0; at < blob.length; at++) {
    const cut = blob.subarray(0, at).toString("base64");
    expect(() => parseSshKey(`${type} ${cut}\n`)).toThrow(Malformed);
  }
  for (const text of ["", "untrusted comment: x", "untrusted comment: x\nAAAA\n", "\n\n\n\n"]) {
    expect(() => parseMinisignSignature(text)).toThrow(Malformed);
    expect(() => parseMinisignKey(text)).toThrow(Malformed);
  }
});
