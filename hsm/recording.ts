/** Writes what was judged into the ledger, with the guard's word on it. */
import type { Clock } from "../core/clock.ts";
import { Failure } from "../events/failure.ts";
import type { Judged } from "./asked.ts";
import type { Guard } from "./guard.ts";
import { announcementOf, intentOf, type Job } from "./job.ts";
import type { Ledger } from "./ledger.ts";

/** What recording works with. */
interface Books {
  readonly ledger: Ledger;
  readonly guard: Guard;
  readonly clock: Clock;
}

/**
 * Inside the ledger's transaction: a row each, then a row for the certificate of each precertificate. So attempts of one kind are
 * neighbours, and where the second rows will be is known at the first. What the guard refuses is a refusal from here on.
 */
export function recordAll(judged: readonly Judged[], books: Books): void {
  const { ledger, guard } = books;
  const last = ledger.next + judged.length - 1;
  const announcing: Job[] = [];
  guard.admitAll(judged, (one) => {
    record(one, last + announcing.length + 1, books);
    if (one.job?.prepared.precertificate) announcing.push(one.job);
  });
  for (const job of announcing) {
    const { precertificate } = job.prepared;
    if (precertificate === undefined) continue;
    const row = ledger.intend(announcementOf(job, precertificate));
    // The guard has written down another: nothing of this transaction may stand.
    if (row !== job.announced) throw new TypeError(`row ${row} announces a certificate of another`);
  }
}

/** The guard's word and the row, whichever it is. `final` is the row that would announce its certificate. */
function record(judged: Judged, final: number, { ledger, guard, clock }: Books): void {
  const { job } = judged;
  if (job) {
    try {
      const at = { sequence: ledger.next, atMs: clock.now().getTime(), final };
      guard.admit(job.key.label, job.prepared.claim, at);
      if (job.prepared.precertificate) job.announced = final;
      job.sequence = ledger.intend(intentOf(job));
      return;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      judged.failure = error;
      judged.job = null;
    }
  }
  const { key, purpose, envelope } = judged.asked;
  const failure = judged.failure ?? new Failure("internal", "internal error");
  ledger.refuse({
    asker: envelope.from,
    key,
    purpose,
    code: failure.code,
    why: failure.message,
    trace: envelope.trace,
  });
}
