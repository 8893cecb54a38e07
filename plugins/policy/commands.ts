/** The policy room's part of the CLI. */
export { parseCase, parseCases, runCases } from "./cases.ts";
export { type Change, diffPolicies, redecide, type Redecided } from "./diff.ts";
export { hashPolicy, type Policy } from "./document.ts";
export { compilePolicy } from "./evaluate.ts";
export { policyJsonSchema } from "./json-schema.ts";
export { type Doubt, lintPolicy } from "./lint.ts";
export { lineOfEntry, lineOfRule } from "./locate.ts";
export { parsePolicy } from "./read.ts";
