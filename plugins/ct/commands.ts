/** The ct room's part of the CLI: what an operator who makes its next shard needs to know. */
export { nextInterval, type Shard, shardsOf } from "./shards.ts";
