/** The faults, by the names of reliability.md §4.4. Each is done to a running instance under traffic, and undone. */
import { busFaults } from "./bus-faults.ts";
import { clockFaults } from "./clock-faults.ts";
import { diskFaults } from "./disk-faults.ts";
import type { FaultKind } from "./fault-kind.ts";
import { postgresFaults } from "./postgres-faults.ts";
import { processFaults } from "./process-faults.ts";
import { rivalFaults } from "./rival-faults.ts";
import { tokenFaults } from "./token-faults.ts";

/** Every kind. What of §4.4 is not here, and why, README.md says. */
export const catalogue: readonly FaultKind[] = [
  ...processFaults,
  ...diskFaults,
  ...clockFaults,
  ...busFaults,
  ...tokenFaults,
  ...rivalFaults,
  ...postgresFaults,
];
