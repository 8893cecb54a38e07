/** Refusals of those who did not show who they are: at the door to certificates and at the embedded sign-in, by kind and second. */
import type { Reader } from "../../core/storage.ts";
import type { Span } from "./lookup.ts";
import { type BodyOf, parseRecord } from "./record.ts";
import { recordStream } from "./rows.ts";

/** Refusals of one kind within one second. */
export interface CountedRefusal {
  readonly of: "certificate" | "sign-in";
  readonly code: string;
  readonly reason: string;
  readonly oidcIssuer?: string | undefined;
  /** Of the sign-in, if there is such an account. */
  readonly account?: string | undefined;
  readonly network: string;
  readonly at: string;
  readonly count: number;
}

const pageSize = 512;

/** All of a time, in the order of their records. Reads the trail from its beginning: none of it is found by a name. */
export async function* readRefusals(
  reader: Reader,
  { sinceMs, untilMs, oidcIssuer }: Span,
): AsyncGenerator<CountedRefusal> {
  let after = 0n;
  for (;;) {
    const page = await reader.read(recordStream, after, pageSize);
    for (const { value } of page) {
      const { body } = parseRecord(value);
      if (body.kind !== "counted" && body.kind !== "sign-ins-refused") continue;
      yield* refusalsIn(body).filter((one) => {
        const atMs = Date.parse(one.at);
        const ofIssuer = oidcIssuer === undefined || one.oidcIssuer === oidcIssuer;
        return atMs >= sinceMs && atMs < untilMs && ofIssuer;
      });
    }
    const last = page.at(-1);
    if (last === undefined) return;
    after = last.sequence;
  }
}

function refusalsIn(
  body: BodyOf<"counted"> | BodyOf<"sign-ins-refused">,
): readonly CountedRefusal[] {
  const of = body.kind === "counted" ? ("certificate" as const) : ("sign-in" as const);
  return body.refusals.map((one) => ({ of, ...one }));
}
