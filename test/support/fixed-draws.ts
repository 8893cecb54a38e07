/**
 * Properties that are tested with the same draws in every run: what is drawn may not decide by lot whether a run is green. `npm run
 * fuzz` draws anew each time, and `CHANCERY_TEST_SEED` makes any test draw other values.
 */
import { fc } from "@fast-check/vitest";

export { fc, test } from "@fast-check/vitest";

/** The seed of every property and every short campaign. */
export const seed = Number(process.env["CHANCERY_TEST_SEED"] ?? 20_261_121);

fc.configureGlobal({ seed });
