/** How a process of an installation ends, so that a supervisor knows whether starting it again can help. */

/** Exit codes of `core/main.ts`. */
export const ExitCode = {
  /** Drained after a signal. */
  ok: 0,
  /** A crash, or something outside that may come back: start it again, with back-off. */
  crashed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** Configuration, home or machine are wrong: nothing changes until an operator has acted. */
  environment: 3,
  /** The token refused the PIN: each further attempt may lock it. */
  pinRefused: 4,
  /** A commit's outcome is unknown: start it again, so that it reads back what is true. */
  storageInDoubt: 5,
  /** Another process has taken over: start it again, so that it waits for its turn. */
  superseded: 6,
} as const;

/** After these, starting again does harm or nothing. */
export const staysDown: readonly number[] = [
  ExitCode.usage,
  ExitCode.environment,
  ExitCode.pinRefused,
];
