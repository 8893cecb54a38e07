/** What stands in for identity's word on how a principal came about, in rooms that play identity. */
import type { Provenance } from "../../events/identity.ts";

/** A provenance that says as little as it may. */
export const provenance: Provenance = {
  provider: "test",
  providerVersion: "1",
  mappingSha256: new Uint8Array(32).fill(9),
  assurance: {},
  facets: [],
};
