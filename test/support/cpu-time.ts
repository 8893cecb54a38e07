/** Processor time instead of time: what else the machine does must not count. */

/**
 * Milliseconds of this process's processor time that `act` takes: the least of a few times, because what runs beside it (the
 * collector, the compiler) takes its share of some and not of all.
 */
export async function leastCpuMs(act: () => unknown, times = 5): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let time = 0; time < times; time++) {
    const before = process.cpuUsage();
    await act();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / 1_000);
  }
  return least;
}
