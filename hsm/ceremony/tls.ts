/**
 * A certificate for the TLS listener, from a CA of its own whose key is forgotten at once: whoever trusts that CA trusts this one
 * server and nothing else. Both are software keys; nothing that the vault signs depends on them.
 */
import { generateKeyPairSync, type KeyObject, sign, X509Certificate } from "node:crypto";
import { isIPv6 } from "node:net";
import * as der from "../../core/formats/der.ts";
import { concat } from "../../core/formats/encoding.ts";
import { formatPem } from "../../core/formats/pem.ts";
import {
  type Extension,
  extensionOids,
  formatCertificate,
  formatName,
  formatTbs,
  keyIdentifier,
} from "../../core/formats/x509.ts";
import { VaultRefused } from "../errors.ts";
import { randomSerial } from "./authorities.ts";
import type { Bench } from "./bench.ts";
import { authorityExtensions } from "./profiles.ts";
import type { StepOf } from "./script.ts";

const serverAuth = "1.3.6.1.5.5.7.3.1";
const dayMs = 86_400_000;

/** Makes CA, server key and server certificate. */
export async function performTls(bench: Bench, step: StepOf<"tlsCertificate">): Promise<void> {
  const outputs = [step.keyOut, step.certificateOut, step.authorityOut];
  const { transcript } = bench;
  if (transcript.recall("TLS certificate")) {
    for (const path of outputs) await bench.outputs.requireWritten(path);
    return;
  }
  // The keys are secret, so no transcript could give them back: what an interruption left is made anew.
  for (const path of outputs) await bench.outputs.discard(path);
  const made = makeServerCertificate({ ...step, notBefore: bench.startedAt });
  await bench.outputs.write(step.keyOut, made.key, 0o600);
  await bench.outputs.write(step.certificateOut, made.certificate);
  await bench.outputs.write(step.authorityOut, made.authority);
  transcript.once("TLS certificate", {}, () => ({ names: step.names }));
}

/** What a server's certificate says. */
export interface ServerFields {
  readonly organization: string;
  readonly names: readonly string[];
  readonly addresses: readonly string[];
  readonly days: number;
  readonly notBefore: Date;
}

/** Server key, its certificate, and that of its CA, whose own key is forgotten here: all PEM. @throws {VaultRefused} */
export function makeServerCertificate(fields: ServerFields): {
  readonly key: string;
  readonly certificate: string;
  readonly authority: string;
} {
  const authority = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const server = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const authoritySpki = spki(authority.publicKey);
  const serverSpki = spki(server.publicKey);
  const issuer = formatName({ ...fields, commonName: `${fields.organization} local TLS CA` });
  const [commonName = "localhost"] = fields.names;
  const validity = {
    notBefore: fields.notBefore,
    notAfter: new Date(fields.notBefore.getTime() + fields.days * dayMs),
  };
  const issue = (subject: Uint8Array, publicKey: Uint8Array, extensions: readonly Extension[]) => {
    const serial = randomSerial();
    const signatureAlgorithm = "ecdsa-sha256" as const;
    const tbs = formatTbs({
      serial,
      issuer,
      subject,
      publicKey,
      signatureAlgorithm,
      extensions,
      ...validity,
    });
    const signature = sign("sha256", tbs, authority.privateKey);
    return formatCertificate(tbs, signatureAlgorithm, signature);
  };
  const keys = { subject: authoritySpki, issuer: authoritySpki };
  const authorityDer = issue(issuer, authoritySpki, authorityExtensions("root", keys));
  const serverDer = issue(
    formatName({ commonName }),
    serverSpki,
    serverExtensions(fields, { subject: serverSpki, issuer: authoritySpki }),
  );
  readAgain(serverDer, authorityDer, fields);
  const key = server.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return {
    key,
    certificate: formatPem("CERTIFICATE", serverDer),
    authority: formatPem("CERTIFICATE", authorityDer),
  };
}

function serverExtensions(
  { names, addresses }: ServerFields,
  keys: { readonly subject: Uint8Array; readonly issuer: Uint8Array },
): readonly Extension[] {
  const alternatives = der.sequence(
    // GeneralName: dNSName is [2], iPAddress [7].
    ...names.map((name) => der.implicit(2, der.ascii(name))),
    ...addresses.map((address) => der.implicit(7, addressBytes(address))),
  );
  const own = der.octetString(keyIdentifier(keys.subject));
  const issuers = der.sequence(der.implicit(0, keyIdentifier(keys.issuer)));
  return [
    // digitalSignature is bit 0.
    { oid: extensionOids.keyUsage, critical: true, value: der.bitString(Uint8Array.of(0x80), 7) },
    {
      oid: extensionOids.extendedKeyUsage,
      critical: false,
      value: der.sequence(der.oid(serverAuth)),
    },
    { oid: extensionOids.subjectKeyIdentifier, critical: false, value: own },
    { oid: extensionOids.authorityKeyIdentifier, critical: false, value: issuers },
    { oid: extensionOids.subjectAltName, critical: false, value: alternatives },
  ];
}

function addressBytes(address: string): Uint8Array {
  if (!isIPv6(address)) return Uint8Array.from(address.split(".").map(Number));
  const [head = "", tail = ""] = address.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const [before, after] = [groups(head), groups(tail)];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0");
  const words = [...before, ...zeros, ...after].map((group) => Number.parseInt(group, 16));
  return concat(...words.map((word) => Uint8Array.of(word >> 8, word & 0xff)));
}

function readAgain(
  serverDer: Uint8Array,
  authorityDer: Uint8Array,
  { names, addresses }: ServerFields,
): void {
  const server = new X509Certificate(serverDer);
  const authority = new X509Certificate(authorityDer);
  const good =
    authority.ca &&
    authority.verify(authority.publicKey) &&
    server.checkIssued(authority) &&
    server.verify(authority.publicKey) &&
    names.every((name) => server.checkHost(name) !== undefined) &&
    addresses.every((address) => server.checkIP(address) !== undefined);
  if (!good) throw new VaultRefused("the TLS certificate does not read back as it was written");
}

function spki(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: "spki", format: "der" }));
}
