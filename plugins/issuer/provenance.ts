/** A verdict's provenance as rows keep it: JSON, with hashes in hex. */
import { encodeHex } from "../../core/formats/encoding.ts";
import type { Provenance } from "../../events/identity.ts";

/** A {@link Provenance} in a row. */
export interface StoredProvenance extends Omit<Provenance, "mappingSha256" | "decision"> {
  readonly mappingSha256: string;
  readonly decision?: { readonly [Name in keyof Decision]: string } | undefined;
}

type Decision = NonNullable<Provenance["decision"]>;

/** See {@link parseProvenance}. */
export function formatProvenance({ decision, ...provenance }: Provenance): StoredProvenance {
  return {
    ...provenance,
    mappingSha256: encodeHex(provenance.mappingSha256),
    ...(decision !== undefined && {
      decision: { ...decision, policySha256: encodeHex(decision.policySha256) },
    }),
  };
}

/** What {@link formatProvenance} made. */
export function parseProvenance({ decision, ...stored }: StoredProvenance): Provenance {
  return {
    ...stored,
    mappingSha256: Uint8Array.fromHex(stored.mappingSha256),
    ...(decision !== undefined && {
      decision: { ...decision, policySha256: Uint8Array.fromHex(decision.policySha256) },
    }),
  };
}
