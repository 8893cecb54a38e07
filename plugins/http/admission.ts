/**
 * Who is served now and who is asked to come back. Reads and writes have a lane each, so that a crawl of tiles cannot hold up a
 * certificate; probes have none, because whoever asks whether we are well must not be told that we are busy.
 */
import type { Rate } from "./rate.ts";
import { createSlices, type Slices } from "./slices.ts";

/** What a request is about: the state of the installation, reading, or anything that may change something. */
export type Lane = "probe" | "read" | "write";

/** A request before its body is read. */
export interface Applicant {
  readonly address: string | undefined;
  readonly lane: Lane;
  /** The most that its body may be. */
  readonly bodyBytes: number;
}

/** A request that was let in. Disposing it, once, says that it has left. */
export interface Admitted extends Disposable {
  /** Resolves when it is its turn to be worked on; with false if it has left by then, or waited too long to be worth it. */
  turn(): Promise<boolean>;
}

/** A request that must come back. */
export interface Refused {
  readonly status: 429 | 503;
  readonly retryAfterMs: number;
}

/** Admits or refuses requests. */
export interface Admission {
  /** How the request would be refused, or null. Counts nothing, so that whoever refuses has spent as little as can be. */
  refusal(applicant: Applicant): Refused | null;
  enter(applicant: Applicant): Admitted | Refused;
}

/** What is admitted. */
export interface AdmissionLimits {
  /** In each lane, from the end of the header to the end of the response. */
  readonly requestsInFlight: number;
  /** In each lane, being worked on; fewer if as many do not leave within a moment. */
  readonly requestsAtOnce: number;
  /** A request that was not begun within this time is not begun any more. */
  readonly longestWaitMs: number;
  /** No request is let in to wait longer than this, as far as can be told from how fast others leave. */
  readonly queueMs: number;
  /** All bodies that are being read or worked on. */
  readonly bodyBytesInFlight: number;
}

/** Builds the admission; `rate` null means that nobody can come too often. `nowMs` must not run backwards. */
export function createAdmission(
  limits: AdmissionLimits,
  rate: Rate | null,
  nowMs: () => number = () => performance.now(),
): Admission {
  const slices = createSlices(() => performance.now());
  const lanes = {
    read: createLane(limits, nowMs, null),
    write: createLane(limits, nowMs, slices),
    probe: null,
  };
  const bodies: Bodies = { bytes: 0 };
  const busy: Refused = { status: 503, retryAfterMs: limits.longestWaitMs };
  const hasRoom = (applicant: Applicant): boolean =>
    bodies.bytes + applicant.bodyBytes <= limits.bodyBytesInFlight;
  return {
    refusal(applicant) {
      const earlyMs = rate?.earlyMs(applicant.address) ?? null;
      if (earlyMs !== null) return { status: 429, retryAfterMs: earlyMs };
      return hasRoom(applicant) && lanes[applicant.lane]?.isFull() !== true ? null : busy;
    },
    enter(applicant) {
      const earlyMs = rate?.tooEarlyMs(applicant.address) ?? null;
      if (earlyMs !== null) return { status: 429, retryAfterMs: earlyMs };
      if (!hasRoom(applicant)) return busy;
      const lane = lanes[applicant.lane];
      if (lane?.isFull() === true) return busy;
      bodies.bytes += applicant.bodyBytes;
      lane?.enter();
      return new Place(lane, bodies, applicant.bodyBytes);
    },
  };
}

/** What the bodies of all that have not left may come to. */
interface Bodies {
  bytes: number;
}

/** A request that was let in; probes have no lane. */
class Place implements Admitted {
  working = false;
  left = false;
  /** While it waits: ends that, with or without work. */
  end: ((go: boolean) => void) | null = null;
  readonly #lane: ReturnType<typeof createLane> | null;
  readonly #bodies: Bodies;
  readonly #bodyBytes: number;

  constructor(lane: ReturnType<typeof createLane> | null, bodies: Bodies, bodyBytes: number) {
    this.#lane = lane;
    this.#bodies = bodies;
    this.#bodyBytes = bodyBytes;
  }

  async turn(): Promise<boolean> {
    return this.#lane === null || (await this.#lane.turn(this));
  }

  [Symbol.dispose](): void {
    this.#bodies.bytes -= this.#bodyBytes;
    this.#lane?.leave(this);
  }
}

/**
 * More writes than leave in this time are not worked on at once: it would only make everybody wait longer, and what is half done costs
 * memory and the time to look after it. So many always are, because who waits for a disk or another machine keeps nobody from working.
 */
const workMs = 400;
const leastAtOnce = 256;

/**
 * A lane. Under overload the newest is taken first: the oldest has a client that has waited almost as long as it will, so work on
 * it would be wasted, and taking turns would make everybody wait that long.
 */
function createLane(limits: AdmissionLimits, nowMs: () => number, slices: Slices | null) {
  const { requestsInFlight, requestsAtOnce, longestWaitMs, queueMs } = limits;
  const waiting: Place[] = [];
  const pace = createPace(nowMs);
  let inFlight = 0;
  let atOnce = 0;

  const mostAtOnce = (): number =>
    slices === null
      ? requestsAtOnce
      : Math.min(requestsAtOnce, Math.max(leastAtOnce, Math.ceil(pace.leaveIn(workMs))));
  const begin = (place: Place): true => {
    atOnce++;
    place.working = true;
    if (atOnce >= mostAtOnce()) pace.begin();
    return true;
  };
  const wait = (place: Place): boolean | Promise<boolean> => {
    if (place.left) return false;
    if (atOnce < mostAtOnce()) return begin(place);
    return new Promise((resolve) => {
      const expiry = setTimeout(() => place.end?.(false), longestWaitMs);
      place.end = (go) => {
        clearTimeout(expiry);
        waiting.splice(waiting.lastIndexOf(place), 1);
        place.end = null;
        // In this very tick: whoever leaves before the promise is looked at gives back what it holds.
        resolve(go && begin(place));
      };
      waiting.push(place);
    });
  };
  const isFull = (): boolean =>
    inFlight >= requestsInFlight ||
    (atOnce >= mostAtOnce() && pace.msFor(waiting.length + 1) > queueMs);

  return {
    isFull,
    enter(): void {
      inFlight++;
    },
    async turn(place: Place): Promise<boolean> {
      if (!(await wait(place))) return false;
      await slices?.begin();
      return !place.left;
    },
    leave(place: Place): void {
      inFlight--;
      place.left = true;
      place.end?.(false);
      if (!place.working) return;
      pace.left();
      atOnce--;
      if (waiting.length === 0) pace.end();
      while (waiting.length > 0 && atOnce < mostAtOnce()) waiting.at(-1)?.end?.(true);
    },
  };
}

/** How long is looked before the pace is believed: batches leave together, and one of them says little. */
const paceMs = 250;

/** How fast requests leave while as many are worked on as may be, and others wait: at any other time it would be how fast they come. */
function createPace(nowMs: () => number) {
  let sinceMs: number | null = null;
  let count = 0;
  let perMs = Infinity;
  return {
    /** From now on as many are worked on as may be. */
    begin(): void {
      if (sinceMs !== null) return;
      sinceMs = nowMs();
      count = 0;
    },
    end(): void {
      sinceMs = null;
    },
    left(): void {
      if (sinceMs === null) return;
      count++;
      const ms = nowMs() - sinceMs;
      if (ms < paceMs) return;
      perMs = count / ms;
      sinceMs = nowMs();
      count = 0;
    },
    /** How long it takes until so many more have left. */
    msFor: (requests: number): number => requests / perMs,
    /** How many leave in this time; without end as long as nothing is known. */
    leaveIn: (ms: number): number => ms * perMs,
  };
}
