/** Decisions of the past as requests that can be decided again: everything but the token's claims, which no record keeps. */
import type { Reader } from "../../core/storage.ts";
import { fulcioArcs } from "../../core/formats/fulcio-oids.ts";
import { type BodyOf, parseRecord } from "./record.ts";
import { recordStream } from "./rows.ts";

/** A decision that is on record. */
export interface PastDecision {
  readonly record: BodyOf<"issued"> | BodyOf<"refused">;
  readonly allowed: boolean;
  readonly provider: string;
  readonly principal: {
    readonly oidcIssuer: string;
    readonly subject: string;
    readonly challenge: string;
    readonly san: { readonly kind: "email" | "uri" | "otherName"; readonly value: string };
    readonly extensions: { readonly arc: number; readonly value: string }[];
  };
  readonly assurance: NonNullable<BodyOf<"issued">["provenance"]>["assurance"];
  readonly atMs: bigint;
}

const pageSize = 512;

/** Every decision that says what it was about, oldest first. */
export async function* readDecisions(reader: Reader): AsyncGenerator<PastDecision> {
  let after = 0n;
  for (;;) {
    const page = await reader.read(recordStream, after, pageSize);
    for (const { value } of page) {
      const { body } = parseRecord(value);
      if (body.kind !== "issued" && body.kind !== "refused") continue;
      const decision = decisionIn(body);
      if (decision !== null) yield decision;
    }
    const last = page.at(-1);
    if (last === undefined) return;
    after = last.sequence;
  }
}

/** Null if the policy was not asked, or the record is older than it. */
function decisionIn(record: BodyOf<"issued"> | BodyOf<"refused">): PastDecision | null {
  const { provenance, oidcIssuer, subject, san, sanKind = "uri", extensions = {} } = record;
  if (!provenance?.decision || oidcIssuer === undefined || subject === undefined) return null;
  const value = san ?? subject;
  return {
    record,
    allowed: record.kind === "issued" || record.code !== "policy-refused",
    provider: provenance.provider,
    principal: {
      oidcIssuer,
      subject,
      challenge: value,
      san: { kind: sanKind, value },
      extensions: Object.entries(extensions).flatMap(([name, text]) => {
        const arc = (fulcioArcs as { readonly [name: string]: number })[name];
        return arc === undefined || text === undefined ? [] : [{ arc, value: text }];
      }),
    },
    assurance: provenance.assurance,
    atMs: BigInt(Date.parse(record.at)),
  };
}
