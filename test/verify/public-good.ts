/** Other people's bundles, the trusted roots that go with them, and what is known about their artifacts. */
import { readFileSync } from "node:fs";
import { verifyDigest } from "../../core/crypto/digest-verify.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import { parseBundle } from "../../core/formats/bundle.ts";
import { decodeHex } from "../../core/formats/encoding.ts";
import { parseTrustedRoot } from "../../core/formats/trusted-root.ts";
import { type Artifact, artifactKnownBy } from "../../plugins/client/verify/artifact.ts";
import { exactly } from "../../plugins/client/verify/identity.ts";
import type { VerifyDigest } from "../../plugins/client/verify/signature.ts";
import { type Verified, verifyBundle } from "../../plugins/client/verify/verify.ts";

/** A bundle with all that is needed to verify it. */
export interface Case {
  readonly bundle: string;
  readonly trustedRoot: string;
  readonly artifact: Artifact;
  readonly identity: string;
  readonly oidcIssuer: string;
}

const github = "https://token.actions.githubusercontent.com";

/** The bundles of `test/vectors/sigstore` that must verify. */
export const cases = {
  "DSSE, version 0.1, promise only": {
    bundle: vector("dsse.sigstore.json"),
    trustedRoot: vector("trusted-root-public-good.json"),
    artifact: sha512(
      "bbfd372fc9beeb777fe35d05bb10c0c70a9733d366a75fed7dd18866c7391de3ee7e88ba74dd47abf3e15c845e547fcf0e5c3da80854c751554224d3a6d4e55f",
    ),
    identity: "brian@dehamer.com",
    oidcIssuer: "https://github.com/login/oauth",
  },
  "npm provenance, version 0.1, promise only": {
    bundle: vector("bundle-provenance.json"),
    trustedRoot: vector("trusted-root-public-good.json"),
    artifact: sha512(
      "76176ffa33808b54602c7c35de5c6e9a4deb96066dba6533f50ac234f4f1f4c6b3527515dc17c06fbe2860030f410eee69ea20079bd3a2c6f3dcf3b329b10751",
    ),
    identity:
      "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main",
    oidcIssuer: github,
  },
  "npm provenance with inclusion proof": {
    bundle: vector("sigstore.js@2.0.0-provenance.sigstore.json"),
    trustedRoot: vector("trusted-root-public-good.json"),
    artifact: sha512(
      "46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c",
    ),
    identity:
      "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main",
    oidcIssuer: github,
  },
  "message signature, version 0.3, user name": {
    bundle: vector("othername.sigstore.json"),
    trustedRoot: vector("scaffolding.json"),
    artifact: artifactKnownBy({
      sha256: decodeHex("bc103b4a84971ef6459b294a2b98568a2bfb72cded09d4acd1e16366a401f95b"),
    }),
    identity: "foo!oidc.local",
    oidcIssuer: "http://oidc.local:8080",
  },
} as const satisfies Record<string, Case>;

/** The text of a file in `test/vectors/sigstore`. */
export function vector(name: string): string {
  return readFileSync(new URL(`../vectors/sigstore/${name}`, import.meta.url), "utf8");
}

/** Verifies a case, changed or not. */
export function verifyCase(theCase: Case): Verified {
  return verifyBundle({
    bundle: parseBundle(theCase.bundle),
    trustedRoot: parseTrustedRoot(theCase.trustedRoot),
    artifact: theCase.artifact,
    policy: {
      identity: exactly(theCase.identity),
      oidcIssuer: exactly(theCase.oidcIssuer),
      predicateType: null,
    },
    verifyDigest: verifyDigestOf,
  });
}

const verifyDigestOf: VerifyDigest = (spki, hash, digest, signature) =>
  verifyDigest(importPublicKey(spki), hash, digest, signature);

function sha512(hex: string): Artifact {
  return artifactKnownBy({ sha512: decodeHex(hex) });
}
