/** Search over the entries of every log, by an index that is derived from them. */
import * as v from "valibot";
import { definePlugin } from "../../core/plugin.ts";
import { latestHead, listLogs, proveInclusion, readEntries } from "../../events/log.ts";
import { rebuildIndex, retrieveIndex, searchEntries } from "../../events/search.ts";

export const search = definePlugin({
  name: "search",
  summary: "finds entries of all logs by digest, key, name, extension and time",
  config: v.strictObject({
    /** Where the index is, relative to the home; it needs no backup. */
    directory: v.optional(
      v.pipe(v.string(), v.regex(/^[a-z0-9.-]+(?:\/[a-z0-9.-]+)*$/), v.excludes("..")),
      "index",
    ),
  }),
  offers: [searchEntries, retrieveIndex, rebuildIndex],
  needs: [listLogs, readEntries, latestHead, proveInclusion],
  emits: [],
  // The logs themselves are what it follows: a log's size says all that its facts would, and the cursor is in the index's own file.
  follows: [],
  reaches: ["disk"],
});

/** What the plugin is given. */
export type SearchContext = Parameters<Parameters<typeof search.implement>[0]>[0];
