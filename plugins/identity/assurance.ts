/** How sure the issuer was of whom it had before it: OpenID Connect Core 1.0 §2, RFC 8176. */
import type { Provenance } from "../../events/identity.ts";
import type { Claims } from "./id-token.ts";
import type { Provider } from "./provider.ts";

const maxValue = 256;
const maxMethods = 16;

/** What cannot be read as the specification has it counts as not said, which no rule takes for an assurance. */
export function assuranceOf(claims: Claims, where: Provider["assurance"]): Provenance["assurance"] {
  if (where === undefined) return {};
  const acr = member(claims, where.acr);
  const amr = member(claims, where.amr);
  const authTime = member(claims, where.authTime);
  const methods = Array.isArray(amr) ? amr.filter(isShort) : [];
  return {
    ...(isShort(acr) && { acr }),
    ...(Array.isArray(amr) &&
      methods.length === amr.length &&
      methods.length <= maxMethods && { amr: methods }),
    ...(typeof authTime === "number" &&
      Number.isSafeInteger(authTime) &&
      authTime >= 0 && { authTimeS: authTime }),
  };
}

function member(claims: Claims, name: string | undefined): unknown {
  return name !== undefined && Object.hasOwn(claims, name) ? claims[name] : undefined;
}

function isShort(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= maxValue;
}
