/** What the issues want. */
import { alone, ceiling, cpu, figure, type Found, offered, overload, single } from "./found.ts";

/** A target, and where its figure is found. */
export interface Target {
  /** By which its reason is found. */
  readonly name: string;
  readonly figure: string;
  /** What is allowed, in the unit of the figure; neither for what is only reported beside another. */
  readonly least?: number;
  readonly most?: number;
  readonly unit: string;
  readonly issue: number;
  readonly found: Found;
}

/** Every target, in the order of the issues. */
export const targets: readonly Target[] = [
  {
    name: "sign",
    figure: "chancery sign, wall",
    most: 0.4,
    unit: "s",
    issue: 2,
    found: single("chancery sign, wall"),
  },
  {
    name: "verify",
    figure: "chancery verify, wall",
    most: 0.2,
    unit: "s",
    issue: 2,
    found: single("chancery verify, wall"),
  },
  {
    name: "ready",
    figure: "start of an old home, with proof",
    most: 8,
    unit: "s",
    issue: 2,
    found: single("start of an old home, with proof"),
  },
  {
    name: "certificate-first",
    figure: "certificates, P-256 CA, to begin with",
    least: 300,
    unit: "/s",
    issue: 2,
    found: ceiling("certificate"),
  },
  {
    name: "entry-first",
    figure: "entries, Rekor v1, certificate as verifier, to begin with",
    least: 600,
    unit: "/s",
    issue: 2,
    found: ceiling("entry"),
  },
  {
    name: "certificate-idle",
    figure: "certificate, one at a time, p50, to begin with",
    most: 15,
    unit: "ms",
    issue: 2,
    found: alone("certificate"),
  },
  {
    name: "services-memory",
    figure: "services, resident after the load of this run",
    most: 300,
    unit: "MiB",
    issue: 2,
    found: single("resident memory, services"),
  },
  {
    name: "timestamp",
    figure: "timestamps",
    least: 3_500,
    unit: "/s",
    issue: 3,
    found: ceiling("timestamp"),
  },
  {
    name: "certificate",
    figure: "certificates, P-256 CA",
    least: 1_000,
    unit: "/s",
    issue: 4,
    found: ceiling("certificate"),
  },
  {
    name: "certificate-cpu",
    figure: "CPU of a certificate, all processes",
    most: 1.45,
    unit: "ms",
    issue: 4,
    found: cpu("certificate"),
  },
  {
    name: "certificate-p384",
    figure: "certificates, P-384 CA",
    least: 350,
    unit: "/s",
    issue: 4,
    found: ceiling("certificate-p384"),
  },
  {
    name: "certificate-100",
    figure: "certificate at 100/s offered, p50",
    most: 15,
    unit: "ms",
    issue: 4,
    found: offered("certificate", 100, "p50"),
  },
  {
    name: "certificate-alone",
    figure: "certificate, one at a time, p50",
    most: 6,
    unit: "ms",
    issue: 4,
    found: alone("certificate"),
  },
  {
    name: "vault-memory",
    figure: "vault, resident after the load of this run",
    most: 150,
    unit: "MiB",
    issue: 4,
    found: single("resident memory, vault"),
  },
  {
    name: "overload-work",
    figure: "at three times capacity: accepted per CPU-second, of peak",
    least: 90,
    unit: "%",
    issue: 4,
    found: overload(({ work, peakWork }) => (100 * work) / peakWork),
  },
  {
    name: "overload-rude",
    figure: "at three times capacity: refusals without 429, 503 or when to come back",
    most: 0,
    unit: "",
    issue: 4,
    found: overload(({ rude }) => rude),
  },
  {
    name: "overload-recovery",
    figure: "after three times capacity: back to normal",
    most: 10,
    unit: "s",
    issue: 4,
    found: overload(({ recoverySeconds }) => recoverySeconds ?? Infinity),
  },
  {
    name: "entry-v2",
    figure: "entries, Rekor v2, certificate as verifier",
    least: 2_500,
    unit: "/s",
    issue: 5,
    found: ceiling("entry-v2"),
  },
  {
    name: "entry",
    figure: "entries, Rekor v1, certificate as verifier",
    least: 2_000,
    unit: "/s",
    issue: 5,
    found: ceiling("entry"),
  },
  ...(["entry-v2", "entry"] as const).flatMap((name): Target[] => {
    const kind = `entry, Rekor ${name === "entry" ? "v1" : "v2"}`;
    const at = (perSecond: number, q: "p50" | "p99", most: number): Target => ({
      name: `${name}-${perSecond}-${q}`,
      figure: `${kind}, at ${perSecond}/s offered, ${q}`,
      most,
      unit: "ms",
      issue: 5,
      found: offered(name, perSecond, q),
    });
    return [at(50, "p50", 5), at(1_000, "p50", 15), at(1_000, "p99", 60)];
  }),
  {
    name: "entry-v2-cpu",
    figure: "CPU of an entry, Rekor v2",
    most: 0.55,
    unit: "ms",
    issue: 5,
    found: cpu("entry-v2"),
  },
  {
    name: "entry-cpu",
    figure: "CPU of an entry, Rekor v1",
    most: 0.7,
    unit: "ms",
    issue: 5,
    found: cpu("entry"),
  },
  large("engine", "engine alone, entries with proof", { least: 20_000, unit: "/s" }),
  large("growth", "CPU of an append, long log ÷ one of 10,000", { most: 1.1, unit: "" }),
  large("proof", "inclusion proof, p99", { most: 2, unit: "ms" }),
  large("search-digest", "search by digest, first page over HTTP, p99", { most: 5, unit: "ms" }),
  large("search-identity", "search by identity, first page over HTTP, p99", {
    most: 5,
    unit: "ms",
  }),
  large("search-page", "largest page of all hits of one identity", { most: 100, unit: "kB" }),
  large("search-behind", "search behind the log, at most, at 1,000 entries/s", {
    most: 1,
    unit: "s",
  }),
  {
    name: "tile",
    figure: "reads of a full tile",
    least: 12_000,
    unit: "/s",
    issue: 5,
    found: ceiling("tile"),
  },
  large(
    "bytes",
    "stored beyond a v2 entry with an e-mail certificate, antispam and search included",
    {
      most: 130,
      unit: "bytes",
    },
  ),
  large("bytes-extensions", "the same with all 24 extensions", { unit: "bytes" }),
  large("bytes-v1", "the same for a v1 entry and its SET", { unit: "bytes" }),
  large("bytes-v1-extensions", "the same for a v1 entry with all 24 extensions", { unit: "bytes" }),
  large("generated-bytes", "stored beyond an entry of the long log", { unit: "bytes" }),
  large("large-memory", "services with the long log", { most: 500, unit: "MiB" }),
  large("postgres", "entries, Rekor v2, PostgreSQL with a synchronous standby", {
    least: 2_000,
    unit: "/s",
  }),
  large("digests", "digest verification: addon, fallback and node:crypto disagree", {
    most: 0,
    unit: "",
  }),
];

function large(
  name: string,
  what: string,
  bound: { readonly least?: number; readonly most?: number; readonly unit: string },
): Target {
  return { name, figure: what, issue: 5, found: figure(name), ...bound };
}
