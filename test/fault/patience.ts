/**
 * How long to wait for what must come. The bounds of reliability.md §4.1 are for a machine that is there for the instance; on one that
 * others keep busy, the same work takes as much longer as there are more of them.
 */
import { availableParallelism, loadavg } from "node:os";

const longest = 4;
/** An instance that recovers keeps about two processes busy for each processor. */
const ownShare = 2;

/** This many milliseconds, or up to four times as many while others use the machine. */
export function patience(ms: number): number {
  const [load = 0] = loadavg();
  return ms * Math.min(longest, Math.max(1, load / availableParallelism() / ownShare));
}
