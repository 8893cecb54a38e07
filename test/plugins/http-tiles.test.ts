import { expect, it } from "vitest";
import type { Asked, Put } from "../../plugins/http/route.ts";
import { tileRoutes } from "../../plugins/http/tiles.ts";

/** Routes over a log that counts how often it is asked, and whose tiles say it. */
function routes() {
  let asked = 0;
  const ask = async () => await Promise.resolve({ tile: new Uint8Array(8_192).fill(++asked) });
  const all = tileRoutes(ask as unknown as Put, "rekor-v2");
  return async (path: string, log: string, tile: string): Promise<unknown> => {
    const asking = { path: { log, "*": tile } } as unknown as Asked;
    return (await all.find((route) => route.path === path)?.handle(asking))?.body[0];
  };
}

it("keeps full tiles of hashes at hand", async () => {
  const read = routes();
  const named = "/logs/:log/tile/*";
  expect(await read(named, "rekor", "0/x001/000")).toBe(1);
  expect(await read(named, "rekor", "0/x001/000")).toBe(1);
  expect(await read(named, "ct", "0/x001/000")).toBe(2);
  expect(await read(named, "rekor", "1/x001/000")).toBe(3);
  // The oldest goes when there are too many.
  for (let index = 100; index < 226; index++) await read(named, "rekor", `0/${index}`);
  expect(await read(named, "rekor", "1/x001/000")).toBe(3);
  expect(await read(named, "rekor", "0/x001/000")).toBe(130);
});

it.each([
  ["a partial tile, which is superseded", "/logs/:log/tile/*", "0/000.p/255"],
  ["the newest log, which may be another one soon", "/tile/*", "0/000"],
])("keeps nothing of %s", async (_, path, tile) => {
  const read = routes();
  expect([await read(path, "rekor", tile), await read(path, "rekor", tile)]).toEqual([1, 2]);
});
