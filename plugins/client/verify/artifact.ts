/** What was signed: its bytes, or for something too large to hold, its digests. */
import { type HashName, digest } from "../../../core/crypto/hash.ts";
import { NotVerified } from "./not-verified.ts";

/** What was signed. */
export interface Artifact {
  /** Null if only digests are at hand. */
  readonly bytes: Uint8Array | null;
  /** @throws {NotVerified} if this digest is not at hand. */
  digest(name: HashName): Uint8Array;
}

/** An artifact in memory. Exactly these bytes are hashed and verified. */
export function artifactOf(bytes: Uint8Array): Artifact {
  return { bytes, digest: (name) => digest(name, bytes) };
}

/** An artifact that is known by its digests. */
export function artifactKnownBy(
  digests: Readonly<Partial<Record<HashName, Uint8Array>>>,
): Artifact {
  return {
    bytes: null,
    digest(name) {
      const known = digests[name];
      if (known !== undefined) return known;
      throw new NotVerified(
        "artifact",
        `the ${name} digest of the artifact is needed and not known`,
      );
    },
  };
}
