/** Configured time sources, asked now and then: none may be far from our clock, and one must have answered lately. */
import type { TimeSourcesConfig } from "./manifest.ts";
import { askOffset } from "./sntp.ts";

const timeoutMs = 2_000;

/** What is asked, with which clocks. */
export interface SourcesOptions {
  readonly config: TimeSourcesConfig;
  readonly nowMs: () => number;
  readonly steadyMs: () => number;
  readonly report: (server: string, reason: string) => void;
}

/** The sources of an installation. */
export class TimeSources {
  readonly #options: SourcesOptions;
  /** Steady time of the last round in which a source answered; null before the first. */
  #answeredAtMs: number | null = null;
  #farthest: { readonly server: string; readonly offsetMs: number } | null = null;

  constructor(options: SourcesOptions) {
    this.#options = options;
  }

  /** Asks every source once. */
  async ask(): Promise<void> {
    const { config, nowMs, steadyMs, report } = this.#options;
    const offsets = await Promise.all(
      config.servers.map(async (server) => {
        try {
          return { server, offsetMs: await askOffset(server, nowMs, timeoutMs) };
        } catch (error) {
          report(server, error instanceof Error ? error.message : "unknown error");
          return null;
        }
      }),
    );
    const answers = offsets.filter((one) => one !== null);
    if (answers.length === 0) return;
    this.#answeredAtMs = steadyMs();
    // One that disagrees is enough: which of two clocks is right cannot be known here.
    this.#farthest = answers.reduce((far, one) =>
      Math.abs(one.offsetMs) > Math.abs(far.offsetMs) ? one : far,
    );
  }

  /** Why no time may be told; null if it may. */
  reason(): string | null {
    const { config, steadyMs } = this.#options;
    if (this.#answeredAtMs === null) return "no time source has answered yet";
    if (steadyMs() - this.#answeredAtMs > config.graceMs + config.everyMs + timeoutMs) {
      return "no time source answers";
    }
    const { server = "", offsetMs = 0 } = this.#farthest ?? {};
    if (Math.abs(offsetMs) <= config.maxOffsetMs) return null;
    return `the clock is ${Math.round(-offsetMs)} ms from ${server}`;
  }
}
