/** The audit room's part of the CLI. */
export { type PastDecision, readDecisions } from "./decisions.ts";
export { fsckAudit } from "./fsck.ts";
export { type Deeds, type Dossier, readTrail, type Span, type TrailReader } from "./lookup.ts";
export { readRefusals } from "./refusals.ts";
export { plain, showCounted, showDeeds, showDossier, uuidOf } from "./show.ts";
