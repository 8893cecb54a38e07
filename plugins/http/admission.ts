/** Who is served now and who is asked to come back: a bound on requests in flight, and a rate for each client. */
import { isIPv6 } from "node:net";

/** Admits or refuses requests. */
export interface Admission {
  /** Null if the request may go on, and then `leave` must be called once; else 429 or 503. */
  enter(address: string | undefined): 429 | 503 | null;
  leave(): void;
}

/** What is admitted. */
export interface AdmissionLimits {
  readonly requestsInFlight: number;
  readonly requestsPerSecondPerClient?: number | undefined;
}

/** Clients remembered; the one seen longest ago is forgotten first. */
const maxClients = 100_000;

/** The generic cell rate algorithm with a burst of one second, in memory; `nowMs` must not run backwards. */
export function createAdmission(limits: AdmissionLimits, nowMs: () => number): Admission {
  const rate = limits.requestsPerSecondPerClient;
  const arrivals = new Map<string, number>();
  let inFlight = 0;

  const exceeds = (client: string, perSecond: number): boolean => {
    const now = nowMs();
    const due = Math.max(arrivals.get(client) ?? now, now);
    if (due - now > 1_000) return true;
    arrivals.delete(client);
    arrivals.set(client, due + 1_000 / perSecond);
    const [oldest] = arrivals.size > maxClients ? arrivals.keys() : [];
    if (oldest !== undefined) arrivals.delete(oldest);
    return false;
  };

  return {
    enter(address) {
      if (rate !== undefined && exceeds(clientOf(address ?? ""), rate)) return 429;
      if (inFlight >= limits.requestsInFlight) return 503;
      inFlight++;
      return null;
    },
    leave() {
      inFlight--;
    },
  };
}

/** An IPv4 address, or the /64 of an IPv6 one: a household has that many. */
function clientOf(address: string): string {
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = "", tail = ""] = address.split("::");
  const groups = head.split(":").filter((group) => group !== "");
  if (groups.length >= 4) return groups.slice(0, 4).join(":");
  const gap = 8 - groups.length - tail.split(":").filter((group) => group !== "").length;
  return [...groups, ...Array.from({ length: gap }, () => "0"), ...tail.split(":")]
    .slice(0, 4)
    .join(":");
}
