/** A verdict's provenance as intents of version 1 keep it: JSON, with hashes in hex. */
import type { Provenance } from "../../events/identity.ts";

/** A {@link Provenance} in a row. */
export interface StoredProvenance extends Omit<Provenance, "mappingSha256" | "decision"> {
  readonly mappingSha256: string;
  readonly decision?: { readonly [Name in keyof Decision]: string } | undefined;
}

type Decision = NonNullable<Provenance["decision"]>;

/** The provenance that an older release wrote. */
export function parseProvenance({ decision, ...stored }: StoredProvenance): Provenance {
  return {
    ...stored,
    mappingSha256: Uint8Array.fromHex(stored.mappingSha256),
    ...(decision !== undefined && {
      decision: { ...decision, policySha256: Uint8Array.fromHex(decision.policySha256) },
    }),
  };
}
