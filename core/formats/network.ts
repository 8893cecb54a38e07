/** Where an address is: IPv4 and IPv6 text (RFC 4291 §2.2) as clients and as networks. */
import { isIPv4, isIPv6 } from "node:net";

/** Where an address is, as far as records go: an IPv4 /24 or an IPv6 /48; `unknown` for what is no address. */
export function networkOf(address = ""): string {
  const { client, site } = placeOf(address);
  if (site !== null) return `${site}::/48`;
  return isIPv4(client) ? `${client.slice(0, client.lastIndexOf("."))}.0/24` : "unknown";
}

/** An IPv4 address; or the /64 of an IPv6 one, because a household has that many, and its /48. */
export function placeOf(address: string): {
  readonly client: string;
  readonly site: string | null;
} {
  if (!isIPv6(address)) return { client: address, site: null };
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return { client: mapped, site: null };
  const [head = "", tail = ""] = address.split("::");
  const groups = head.split(":").filter((group) => group !== "");
  const rest = tail.split(":").filter((group) => group !== "");
  const gap = Math.max(0, 8 - groups.length - rest.length);
  const whole = [...groups, ...Array.from({ length: gap }, () => "0"), ...rest];
  return { client: whole.slice(0, 4).join(":"), site: whole.slice(0, 3).join(":") };
}
