/** What the certificates that are logged are for (RFC 5280 §4.2.1.12): names and object identifiers of key purposes. */
import * as v from "valibot";

const named = {
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  codeSigning: "1.3.6.1.5.5.7.3.3",
  emailProtection: "1.3.6.1.5.5.7.3.4",
  timeStamping: "1.3.6.1.5.5.7.3.8",
} as const;

/** anyExtendedKeyUsage: good for everything. */
const anyPurpose = "2.5.29.37.0";

/** A purpose as it is configured: one of the names above, or any other object identifier. */
export const purpose = v.union([
  v.picklist(["serverAuth", "clientAuth", "codeSigning", "emailProtection", "timeStamping"]),
  v.pipe(v.string(), v.regex(/^[0-2](?:\.(?:0|[1-9]\d{0,9})){1,20}$/)),
]);

/** Object identifiers of configured purposes. */
export function purposeOids(
  purposes: readonly v.InferOutput<typeof purpose>[],
): ReadonlySet<string> {
  const oids: ReadonlyMap<string, string> = new Map(Object.entries(named));
  return new Set(purposes.map((one) => oids.get(one) ?? one));
}

/** True if a leaf with these purposes is logged: it must name one that is wanted. */
export function isWanted(found: readonly string[] | null, wanted: ReadonlySet<string>): boolean {
  return found?.some((oid) => wanted.has(oid)) === true;
}

/** True if a CA with these purposes may be above such a leaf: without the extension it may be above all. */
export function isAllowed(found: readonly string[] | null, wanted: ReadonlySet<string>): boolean {
  return found === null || found.includes(anyPurpose) || isWanted(found, wanted);
}
