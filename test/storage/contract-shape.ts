/** The shape of the partitions the storage tests use; apart from the suite, so that a child process need not load vitest. */
export const shape = { tables: ["alpha", "beta"], streams: ["facts", "other"] };
