/**
 * Commits 1, 2, 3 … several at a time, and prints each number after it is acknowledged. Ended from outside. Its argument is a folder
 * of SQLite files, or the options of a PostgreSQL driver as JSON.
 */
import { writeSync } from "node:fs";
import { encodeUtf8, uintBytes, uintFrom } from "../../core/formats/encoding.ts";
import { postgresDriver } from "../../plugins/storage/postgres.ts";
import type { PostgresOptions } from "../../plugins/storage/postgres-server.ts";
import { sqliteDriver } from "../../plugins/storage/sqlite.ts";
import { shape } from "./contract-shape.ts";

const [, , place = ""] = process.argv;
const driver = place.startsWith("{")
  ? postgresDriver(JSON.parse(place) as PostgresOptions)
  : sqliteDriver({ directory: place });
const partition = await driver.open("room", shape);
const key = encodeUtf8("size");
const stored = await partition.get("alpha", key);
let size = stored === null ? 0 : Number(uintFrom(stored));
for (;;) {
  const group = Array.from({ length: 4 }, (_, n) => size + n + 1);
  size += group.length;
  await Promise.all(
    group.map(async (n) => {
      await partition.commit({
        writes: [{ table: "alpha", key, value: uintBytes(n, 8) }],
        appends: [{ stream: "facts", value: uintBytes(n, 8) }],
      });
      say(n);
    }),
  );
}

/** Before anything else happens; a reader who is slow fills the pipe, and is waited for. */
function say(n: number): void {
  for (;;) {
    try {
      writeSync(1, `${n}\n`);
      return;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EAGAIN") throw thrown;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
