/** The log that a path names. */
import { Failure } from "../../events/failure.ts";
import type { Asked } from "./route.ts";

/** The value of `:log`. @throws {Failure} not-found for what cannot be a log's name. */
export function logIn({ log = "" }: Asked["path"]): string {
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(log)) throw new Failure("not-found", "no such log");
  return log;
}
