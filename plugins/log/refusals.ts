/** Why a question about what is stored gets no answer. */
import { Failure } from "../../events/failure.ts";

/** What was asked for is not in the published tree. */
export function outOfRange(why: string): Failure {
  return new Failure("out-of-range", why);
}

/** What is stored is not what it must be. */
export function damaged(what: string): Failure {
  return new Failure("log-unavailable", `the log's store is damaged: ${what}; run fsck`);
}
