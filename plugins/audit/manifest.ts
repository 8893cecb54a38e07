/** The audit trail: what was issued, refused and logged, as records that hang on each other. Nothing depends on it. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import { idTokenIssued, signInsRefused } from "../../events/idp.ts";
import { certificateIssued, certificateRefused, refusalsCounted } from "../../events/issuer.ts";
import { entriesAppended, readEntries } from "../../events/log.ts";
import { recordStream, tables } from "./rows.ts";

export const audit = definePlugin({
  name: "audit",
  summary: "keeps the audit trail: who was issued what, who was refused, and where it is logged",
  config: v.strictObject({}),
  offers: [],
  needs: [readEntries],
  emits: [],
  follows: [
    certificateIssued,
    certificateRefused,
    refusalsCounted,
    idTokenIssued,
    signInsRefused,
    entriesAppended,
  ],
  keeps: { tables: Object.values(tables), streams: [recordStream], patient: true },
  reaches: [],
});
