/** Entries of kind `intoto` 0.0.2 of the public-good Rekor, rebuilt byte for byte from the envelopes that their bundles hold. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { canonicalBody, parseProposedEntry } from "../../core/formats/rekor-entry.ts";

interface Bundle {
  readonly verificationMaterial: {
    readonly x509CertificateChain?: { readonly certificates: readonly { rawBytes: string }[] };
    readonly certificate?: { readonly rawBytes: string };
    readonly tlogEntries: readonly {
      readonly canonicalizedBody: string;
      readonly inclusionProof?: Proof;
    }[];
  };
  readonly dsseEnvelope: {
    readonly payload: string;
    readonly payloadType: string;
    readonly signatures: readonly { readonly sig: string; readonly keyid?: string }[];
  };
}

interface Proof {
  readonly logIndex: string;
  readonly treeSize: string;
  readonly rootHash: string;
  readonly hashes: readonly string[];
}

interface Stored {
  readonly spec: {
    readonly content: {
      readonly envelope: { readonly signatures: readonly { readonly publicKey: string }[] };
      readonly hash: object;
      readonly payloadHash: { readonly value: string };
    };
  };
}

const names = [
  "bundle-provenance.json",
  "bundle-publish.json",
  "dsse.sigstore.json",
  "sigstore.js@2.0.0-provenance.sigstore.json",
];

const read = (name: string): Bundle =>
  JSON.parse(
    readFileSync(new URL(`../vectors/sigstore/${name}`, import.meta.url), "utf8"),
  ) as Bundle;
const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** What the client must have proposed: from the bundle all but the hash of its own text, and how it wrote the key's PEM. */
function proposalOf({ dsseEnvelope }: Bundle, { spec }: Stored): object {
  const { payload, payloadType, signatures } = dsseEnvelope;
  return {
    apiVersion: "0.0.2",
    kind: "intoto",
    spec: {
      content: {
        envelope: {
          payload: base64(payload),
          payloadType,
          signatures: signatures.map(({ sig, keyid }, at) => ({
            ...(keyid !== undefined && { keyid }),
            sig: base64(sig),
            publicKey: spec.content.envelope.signatures[at]?.publicKey,
          })),
        },
        hash: spec.content.hash,
      },
    },
  };
}

test.each(names)("%s", (name) => {
  const bundle = read(name);
  const [entry] = bundle.verificationMaterial.tlogEntries;
  const body = Buffer.from(entry?.canonicalizedBody ?? "", "base64");
  const stored = JSON.parse(body.toString()) as Stored;
  const proposed = parseProposedEntry(Buffer.from(JSON.stringify(proposalOf(bundle, stored))));
  if (proposed.kind !== "intoto") throw new Error("expected an intoto entry");
  expect(Buffer.from(canonicalBody(proposed)).toString()).toBe(body.toString());
  const payload = Buffer.from(bundle.dsseEnvelope.payload, "base64");
  expect(createHash("sha256").update(payload).digest("hex")).toBe(
    stored.spec.content.payloadHash.value,
  );
});
