/** Closed-loop load: so many requests under way at any time, until the time is over or the material used up. */
import type { Prepared } from "./http.ts";

/** One run's figures; latencies in milliseconds. */
export interface Load {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly requests: number;
  readonly errors: number;
}

/** Sends `material` once each over `lanes`, for at most `seconds`. */
export async function closedLoop(
  post: (prepared: Prepared) => Promise<{ status: number }>,
  material: readonly Prepared[],
  {
    lanes,
    seconds,
    expected,
  }: { readonly lanes: number; readonly seconds: number; readonly expected: number },
): Promise<Load> {
  const latencies: number[] = [];
  let errors = 0;
  let next = 0;
  const startedAt = performance.now();
  const endAt = startedAt + seconds * 1000;
  const lane = async (): Promise<void> => {
    while (performance.now() < endAt) {
      const prepared = material[next++];
      if (prepared === undefined) return;
      const sentAt = performance.now();
      const status = await post(prepared).then(
        (answer) => answer.status,
        () => 0,
      );
      if (status === expected) latencies.push(performance.now() - sentAt);
      else errors++;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  const elapsedSeconds = (performance.now() - startedAt) / 1000;
  latencies.sort((a, b) => a - b);
  return {
    perSecond: latencies.length / elapsedSeconds,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    requests: latencies.length,
    errors,
  };
}

/** The value below which the share `q` of the sorted values lies; NaN of none. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}
