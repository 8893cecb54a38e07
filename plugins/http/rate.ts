/** How often one client may come: the generic cell rate algorithm with a burst of one second, in memory. */
import { isIPv6 } from "node:net";

/** Says whether a request comes too early. */
export interface Rate {
  /** Null if it is in time, and then it counts; else the milliseconds until one would be. */
  tooEarlyMs(address: string | undefined): number | null;
}

/** Clients remembered; the one seen longest ago is forgotten first. */
const maxClients = 100_000;
const burstMs = 1_000;
/** A site has a /48, 65,536 networks of /64: together they get as much as this many clients. */
const networksPerSite = 16;

/** `nowMs` must not run backwards. */
export function createRate(perSecond: number, nowMs: () => number): Rate {
  const clients = createMeter(perSecond, nowMs);
  const sites = createMeter(perSecond * networksPerSite, nowMs);
  return {
    tooEarlyMs(address = "") {
      const { client, site } = placeOf(address);
      const early = clients.early(client) ?? (site === null ? null : sites.early(site));
      if (early !== null) return early;
      clients.count(client);
      if (site !== null) sites.count(site);
      return null;
    },
  };
}

interface Meter {
  early(who: string): number | null;
  count(who: string): void;
}

function createMeter(perSecond: number, nowMs: () => number): Meter {
  /** When the next request of a client is due, by client; a `Map` keeps the order of insertion, so the first is the oldest. */
  const due = new Map<string, number>();
  return {
    early(who) {
      const aheadMs = (due.get(who) ?? 0) - nowMs();
      return aheadMs > burstMs ? aheadMs - burstMs : null;
    },
    count(who) {
      const next = Math.max(due.get(who) ?? 0, nowMs()) + 1_000 / perSecond;
      due.delete(who);
      due.set(who, next);
      const [oldest] = due.size > maxClients ? due.keys() : [];
      if (oldest !== undefined) due.delete(oldest);
    },
  };
}

/** An IPv4 address; or the /64 of an IPv6 one, because a household has that many, and its /48. */
function placeOf(address: string): { readonly client: string; readonly site: string | null } {
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
