/** What was signed: its bytes, or for something too large to hold, its digests. */
import { hash } from "node:crypto";
import { NotVerified } from "./not-verified.ts";

/** A hash as node:crypto and in-toto name it. */
export type HashName = "sha256" | "sha384" | "sha512";

/** What was signed. */
export interface Artifact {
  /** Null if only digests are at hand. */
  readonly bytes: Uint8Array | null;
  /** @throws {NotVerified} if this digest is not at hand. */
  digest(name: HashName): Uint8Array;
}

/** Lengths of the digests in bytes. */
export const digestLengths: Readonly<Record<HashName, number>> = {
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

/** An artifact in memory. Exactly these bytes are hashed and verified. */
export function artifactOf(bytes: Uint8Array): Artifact {
  return { bytes, digest: (name) => hash(name, bytes, "buffer") };
}

/** An artifact that is known by its digests. */
export function artifactKnownBy(
  digests: Readonly<Partial<Record<HashName, Uint8Array>>>,
): Artifact {
  return {
    bytes: null,
    digest(name) {
      const digest = digests[name];
      if (digest !== undefined) return digest;
      throw new NotVerified(
        "artifact",
        `the ${name} digest of the artifact is needed and not known`,
      );
    },
  };
}
